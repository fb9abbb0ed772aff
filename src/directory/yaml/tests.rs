//! What is wrong, where, and what to write.
use super::*;

#[test]
fn explore() {
    let cases = [
        "owners:\n  - id: a\n    kind: team\n   bad\n",
        "owners:\n  - id: a\n    knd: team\n",
        "owner:\n  - id: a\n",
        "owners:\n  id: a\n",
        "owners: 3\n",
        "owners:\n",
        "- owners\n",
        "just text\n",
        "",
        "# c\n",
        "owners:\n  - kind: team\n",
        "owners:\n  - id:\n",
        "owners:\n  - id: [a]\n",
        "owners:\n  - id: a\n    id: b\n",
        "owners:\n\t- id: a\n",
        "owners:\n  - id: \"a\n",
        "owners: [\n",
        "environments:\n  - production\n",
        "environments:\n  - name: 017\n  - name: true\n  - name: ~\n  - name: null\n",
        "environments:\n  - name: &a production\nworkloads:\n  - spiffe_id: spiffe://e/a\n    environments: [*a, *b]\n",
        "environments:\n  - name: !x production\n",
        "owners:\n  - id: a\n    colour: x\n---\nenvironments:\n  - nam: x\n---\nworkloads: 3\n",
        "workloads:\n  - spiffe_id: spiffe://e/a\n    environments: production\n",
        "workloads:\n  - spiffe_id: spiffe://e/a\n    environments:\n",
        "owners:\n  - id: a\n    business_owner: @me\n",
        "owners:\n  - id: a\n    business_owner: a: b\n",
        "owners:\n  - id: a\n    business_owner: \n",
        "owners:\n  - id: a\nenvironments:\n  - name: x\nowners:\n  - id: b\n",
    ];
    for case in cases {
        println!("--- {case:?}");
        match read(vec![("r.yaml".into(), case.to_owned())]) {
            Ok(d) => println!("{d:?}"),
            Err(p) => p.iter().for_each(|p| println!("  {p}")),
        }
    }
}
