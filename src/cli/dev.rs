//! `curfew dev`: the sample of the demo, left running, with commands to paste.

use super::identity;
use super::output::{self, Format, Layout};
use super::sample::{self, Sample};
use super::session::Session;
use serde::Serialize;

/// Where the sample can be reached.
#[derive(Debug, Serialize)]
struct Running {
    grpc: String,
    url: String,
    admin: String,
    ca_file: String,
    folder: String,
}

pub(super) async fn run(session: &Session) -> anyhow::Result<()> {
    let stopped = sample::stopped()?;
    let mut sample = Sample::start(session, &sample::short_waits()).await?;
    sample.register(&sample.connect(&sample.administrator()?).await?).await?;
    for (name, path) in [("api", "/payments/api"), ("reporting", "/acme/reporting")] {
        identity::write(&sample.made.dir.join(name), &sample.identity(session, path)?)?;
    }
    if session.global.format == Format::Table {
        output::write(&commands(&sample))?;
    } else {
        let text = |path: &std::path::Path| path.display().to_string();
        let running = Running {
            grpc: sample.listens.grpc.clone(),
            url: sample.url(),
            admin: sample.listens.admin.clone(),
            ca_file: text(&sample.made.ca()),
            folder: text(&sample.made.dir),
        };
        session.print(&running, Layout::fields(&["grpc", "url", "admin", "ca_file", "folder"]))?;
    }
    tokio::select! {
        () = sample.ended() => anyhow::bail!("the broker ended\n{}", sample.last_words()),
        () = stopped => Ok(()),
    }
}

fn commands(sample: &Sample) -> String {
    let dir = sample.made.dir.display();
    format!(
        "A broker runs in {dir}; Ctrl-C ends it and removes the folder.
In another terminal, as its administrator:

{environment}
  curfew whoami
  curfew owner list

As payments/api, get a token; as a service, check it:

  curfew --cert {dir}/api.pem --key {dir}/api.key token issue --environment production \\
    --audience https://ledger.example.org --field token > token.jwt
  curfew verify token token.jwt --audience https://ledger.example.org --presented {dir}/api.pem

End everything of payments; the same check now exits with 5:

  curfew owner preview payments
  curfew owner revoke payments --reason cessation-of-operation
  curfew verify token token.jwt --audience https://ledger.example.org --presented {dir}/api.pem

Look at what happened:

  curfew ledger list
  curl -s http://{admin}/metrics
",
        environment = sample.made.environment(&sample.listens.grpc, &sample.url()),
        admin = sample.listens.admin,
    )
}
