//! The commands of docs/api.md do what the page says.

use std::{fs, process::Command};

use crate::support::{Origin, Setup};

/// A block of shell in the page.
#[derive(Debug, Default)]
struct Block {
    line: usize,
    commands: String,
    /// What the output has to contain.
    fragments: Vec<String>,
}

/// The `sh` blocks of a page, in order.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in page.lines().enumerate() {
        match (&mut open, line) {
            (None, "```sh") => open = Some(Block { line: at + 1, ..Block::default() }),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), line) => match line.strip_prefix("# => ") {
                Some(fragment) => block.fragments.push(fragment.to_owned()),
                None => block.commands += &format!("{line}\n"),
            },
            (None, _) => {}
        }
    }
    blocks
}

#[test]
fn the_commands_of_the_api_page_do_what_it_says() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md")).unwrap();
    let origin = Origin::named("ok");
    let weir = Setup::before(&origin)
        .backend("canary", &[origin.address])
        .route("name: shop, split: { key: { header: x-user }, backends: { stable: 95, canary: 5 } }")
        .start();
    let home = weir.path("");
    fs::write(home.join(".curlrc"), "silent\nshow-error\nmax-time = 10\nnoproxy = \"*\"\n").unwrap();
    let blocks = blocks(&page);
    assert!(blocks.len() > 10, "the page has its commands in blocks of sh: {}", blocks.len());
    for block in blocks {
        let commands = block.commands.replace("localhost:9900", &weir.running().admin().to_string());
        let mut shell = Command::new("bash");
        shell.args(["-eu", "-c", &commands]).env("CURL_HOME", &home);
        let done = shell.output().expect("bash is there");
        let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        let at = format!("docs/api.md:{}:\n{commands}{out}{error}", block.line);
        assert!(done.status.success(), "{at}");
        assert!(!block.fragments.is_empty(), "nothing is said of the output\n{at}");
        for fragment in &block.fragments {
            assert!(out.contains(fragment.as_str()), "the output does not contain {fragment}\n{at}");
        }
    }
}
