//! Generates the wire types from `proto/`, with a compiler that is itself a Rust crate.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    #[cfg(feature = "client")]
    generate()?;
    Ok(())
}

#[cfg(feature = "client")]
fn generate() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "curfew/v1/credentials.proto",
        "curfew/v1/exceptions.proto",
        "curfew/v1/findings.proto",
        "curfew/v1/keys.proto",
        "curfew/v1/ledger.proto",
        "curfew/v1/owners.proto",
        "curfew/v1/policy.proto",
        "curfew/v1/registry.proto",
        "curfew/v1/revocations.proto",
        "curfew/v1/sources.proto",
        "curfew/v1/tasks.proto",
        "curfew/v1/trust.proto",
        "curfew/ledger/v1/entry.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    // Reflection serves these bytes.
    std::fs::write(out.join("curfew.descriptors"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
