//! Holds rules about the code and the documents that no compiler and no lint holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms each room may use beside itself; `docs/architecture.md` says why.
const ROOMS: &[(&str, &[&str])] = &[
    ("net", &[]),
    ("selector", &[]),
    ("model", &["net", "selector"]),
    ("calc", &["model", "net", "selector"]),
    ("explain", &["model", "net", "selector"]),
    ("nft", &["net"]),
    ("render", &["calc", "model", "net", "nft"]),
    ("config", &["net"]),
    ("datastore", &["model", "net", "selector", "telemetry"]),
    ("links", &["net", "netlink"]),
    ("routes", &["net", "netlink"]),
    ("netlink", &[]),
    (
        "status",
        &["calc", "datastore", "model", "net", "telemetry"],
    ),
    ("kernel", &["net", "netlink", "nft"]),
    ("telemetry", &[]),
    ("monitor", &[]),
    ("last_good", &["model", "telemetry"]),
    ("agent", ALL),
    ("cli", ALL),
];

/// Every room: what the rooms that put the others together may use.
const ALL: &[&str] = &[
    "agent",
    "calc",
    "cli",
    "config",
    "datastore",
    "explain",
    "kernel",
    "last_good",
    "links",
    "model",
    "monitor",
    "net",
    "netlink",
    "nft",
    "render",
    "routes",
    "selector",
    "status",
    "telemetry",
];

/// The longest file, in lines.
const MAX_LINES: usize = 800;

/// What no code of the daemon says outside its tests: it neither panics by design nor starts a program.
const FORBIDDEN_CALLS: &[&str] = &[
    ".unwrap()",
    ".unwrap_err()",
    "panic!(",
    "todo!(",
    "unimplemented!(",
    "unreachable!(",
    "dbg!(",
    "Command::new",
];

/// Beginnings of paths of one machine, which mean nothing on another; written in two parts, so that this
/// file does not contain them.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/tmp/", "w/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];

#[test]
fn rooms_use_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    assert_eq!(
        table.keys().copied().collect::<Vec<_>>(),
        ALL,
        "the table and the list of all rooms differ"
    );
    let mut faults = Vec::new();
    for room in rooms() {
        let Some(allowed) = table.get(room.as_str()) else {
            faults.push(format!(
                "room `{room}` is not in the table of tests/tidy.rs"
            ));
            continue;
        };
        for file in sources(&repository().join("src").join(&room)) {
            let code = product_code(&file);
            for used in used_rooms(&code) {
                if used != room && !allowed.contains(&used.as_str()) {
                    faults.push(format!("{}: `{room}` may not use `{used}`", shown(&file)));
                }
            }
            if climbs_out(&file, &code) {
                faults.push(format!("{}: `super` leads out of the room", shown(&file)));
            }
        }
    }
    none_of(&faults);
}

#[test]
fn every_room_has_a_row_in_the_architecture() {
    let page = read(&repository().join("docs/architecture.md"));
    let faults: Vec<String> = rooms()
        .into_iter()
        .filter(|room| !page.contains(&format!("| `{room}` |")))
        .map(|room| format!("docs/architecture.md has no row for room `{room}`"))
        .collect();
    none_of(&faults);
}

#[test]
fn files_stay_short() {
    let roots = ["src", "tests", "benches", "netns-tests"];
    let faults: Vec<String> = roots
        .iter()
        .flat_map(|root| sources(&repository().join(root)))
        .map(|file| (read(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .map(|(lines, file)| format!("{}: {lines} lines, allowed are {MAX_LINES}", shown(&file)))
        .collect();
    none_of(&faults);
}

#[test]
fn the_daemon_neither_panics_by_design_nor_starts_programs() {
    let mut faults = Vec::new();
    for file in sources(&repository().join("src")) {
        let code = product_code(&file);
        for (number, line) in code.lines().enumerate() {
            for call in FORBIDDEN_CALLS.iter().filter(|call| line.contains(**call)) {
                faults.push(format!("{}:{}: `{call}`", shown(&file), number + 1));
            }
        }
    }
    none_of(&faults);
}

#[test]
fn the_fuzz_targets_link_what_the_program_links() {
    let ours = locked(&read(&repository().join("Cargo.lock")));
    let theirs = locked(&read(&repository().join("fuzz/Cargo.lock")));
    let faults: Vec<String> = theirs
        .iter()
        .filter(|(name, version)| {
            let named = |it: &&(String, String)| it.0 == *name;
            ours.iter().any(|it| named(&it)) && !ours.contains(&(name.clone(), version.clone()))
        })
        .map(|(name, version)| {
            format!(
                "fuzz/Cargo.lock has {name} {version}: copy Cargo.lock there and run scripts/fuzz"
            )
        })
        .collect();
    none_of(&faults);
}

/// Returns the names and versions in a lock file.
fn locked(text: &str) -> BTreeSet<(String, String)> {
    let value = |line: Option<&str>, key: &str| {
        let value = line?.strip_prefix(key)?.strip_prefix(" = \"")?;
        Some(value.strip_suffix('"')?.to_owned())
    };
    text.split("[[package]]\n")
        .filter_map(|package| {
            let mut lines = package.lines();
            Some((
                value(lines.next(), "name")?,
                value(lines.next(), "version")?,
            ))
        })
        .collect()
}

#[test]
fn links_lead_to_files() {
    let mut faults = Vec::new();
    for page in pages() {
        let folder = page.parent().unwrap_or_else(|| Path::new("."));
        for link in links(&read(&page)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (target, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = match target {
                "" => page.clone(),
                target => folder.join(target),
            };
            let stands = heading.is_empty() || {
                let text = fs::read_to_string(&target).unwrap_or_default();
                anchors(&text).contains(heading)
            };
            if !target.exists() || !stands {
                faults.push(format!("{}: nothing stands at `{link}`", shown(&page)));
            }
        }
    }
    none_of(&faults);
}

#[test]
fn documents_name_files_and_tests_that_exist() {
    let mut faults = Vec::new();
    for page in pages() {
        // A decision is dated and not brought up to date.
        if page.starts_with(repository().join("docs/adr")) {
            continue;
        }
        for word in code_words(&read(&page)) {
            let (file, test) = match word.split_once("::") {
                Some((file, test)) => (file, Some(test)),
                None => (word.as_str(), None),
            };
            let ours = [
                "src/",
                "tests/",
                "benches/",
                "netns-tests/",
                "scripts/",
                "packaging/",
            ];
            if !ours.iter().any(|root| file.starts_with(root)) || file.contains('*') {
                continue;
            }
            let near = page.parent().map(|folder| folder.join(file));
            let path = near
                .filter(|near| near.exists())
                .unwrap_or_else(|| repository().join(file));
            if !path.exists() {
                faults.push(format!("{}: there is no `{file}`", shown(&page)));
            } else if let Some(test) = test
                && !read(&path).contains(&format!("fn {test}("))
            {
                faults.push(format!("{}: there is no `{word}`", shown(&page)));
            }
        }
    }
    none_of(&faults);
}

#[test]
fn nothing_names_paths_of_one_machine() {
    let suffixes = [
        "rs", "md", "toml", "yaml", "txt", "snap", "service", "sh", "",
    ];
    let mut faults = Vec::new();
    let roots = [
        "src",
        "tests",
        "benches",
        "netns-tests",
        "docs",
        "examples",
        "scripts",
        "packaging",
    ];
    let below = roots
        .iter()
        .flat_map(|root| files(&repository().join(root)));
    for file in below.chain(top_files()) {
        let suffix = file
            .extension()
            .and_then(|s| s.to_str())
            .unwrap_or_default();
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        if !suffixes.contains(&suffix) {
            continue;
        }
        for path in MACHINE_PATHS.iter().filter(|path| text.contains(**path)) {
            faults.push(format!("{}: names `{path}`", shown(&file)));
        }
    }
    none_of(&faults);
}

/// Checks the reader of paths on text in which every form occurs.
#[test]
fn the_reader_of_paths_finds_every_form() {
    let code = "use crate::net::Family;\nuse crate::{\n    calc::{Calc, self},\n    nft,\n};\n\
                fn f() { crate::links::snapshot(); }\n";
    let found: Vec<String> = used_rooms(code).into_iter().collect();
    assert_eq!(found, ["calc", "links", "net", "nft"]);
    let tested = "fn a() {}\n#[cfg(test)]\nmod tests {\n    use crate::cli::x;\n}\nfn b() {}\n";
    assert_eq!(without_test_modules(tested), "fn a() {}\nfn b() {}\n");
    assert_eq!(
        declared_test_modules("#[cfg(test)]\nmod fake;\nmod real;\n#[cfg(test)]\npub mod more;\n"),
        ["fake", "more"]
    );
}

/// Fails with every fault, one a line.
#[track_caller]
fn none_of(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository())
        .unwrap_or(path)
        .display()
        .to_string()
}

#[track_caller]
fn read(path: &Path) -> String {
    match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => panic!("read {}: {error}", shown(path)),
    }
}

/// Returns the folders below `src`.
fn rooms() -> Vec<String> {
    let mut rooms: Vec<String> = entries(&repository().join("src"))
        .into_iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    rooms.sort();
    assert!(!rooms.is_empty(), "src holds no room");
    rooms
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Returns every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in entries(folder) {
        if path.is_dir() {
            if !path.ends_with("target") {
                found.extend(files(&path));
            }
        } else {
            found.push(path);
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let is_source = |path: &PathBuf| path.extension().is_some_and(|suffix| suffix == "rs");
    files(folder).into_iter().filter(is_source).collect()
}

/// Returns the files at the top of the repository that are written by hand.
fn top_files() -> Vec<PathBuf> {
    entries(&repository())
        .into_iter()
        .filter(|path| path.is_file() && !path.ends_with("Cargo.lock") && !path.ends_with(".git"))
        .collect()
}

/// Returns the pages written for people.
fn pages() -> Vec<PathBuf> {
    let is_page = |path: &PathBuf| path.extension().is_some_and(|suffix| suffix == "md");
    let folders = ["docs", "netns-tests", "packaging"];
    let below = folders
        .iter()
        .flat_map(|folder| files(&repository().join(folder)));
    below.chain(top_files()).filter(is_page).collect()
}

/// Returns a file's code without comments and without tests, line for line where it is kept; empty for a
/// file that is a test itself.
fn product_code(file: &Path) -> String {
    if is_test_file(file) {
        return String::new();
    }
    let code: String = read(file)
        .lines()
        .map(|line| {
            if line.trim_start().starts_with("//") {
                ""
            } else {
                line
            }
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    without_test_modules(&code)
}

/// Tells whether a file, or a folder that holds it, is a module that exists in tests alone.
fn is_test_file(file: &Path) -> bool {
    let source = repository().join("src");
    let mut path = file.to_owned();
    while path.starts_with(&source) && path != source {
        let name = path.file_stem().and_then(|name| name.to_str());
        let parent = path.parent().unwrap_or(&source).to_owned();
        let declared = [parent.join("mod.rs"), parent.with_extension("rs")]
            .iter()
            .filter_map(|owner| fs::read_to_string(owner).ok())
            .any(|text| {
                declared_test_modules(&text)
                    .iter()
                    .any(|m| Some(m.as_str()) == name)
            });
        // What stands in a folder of this name is declared with its path, by the file that it tests.
        if declared || parent.ends_with("tests") {
            return true;
        }
        path = parent;
    }
    false
}

/// Returns the modules in files of their own that are declared for tests.
fn declared_test_modules(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter(|pair| pair[0] == "#[cfg(test)]")
        .filter_map(|pair| pair[1].strip_suffix(';')?.rsplit_once("mod "))
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// Leaves out modules for tests that stand in the file itself; rustfmt puts their last brace at the margin.
fn without_test_modules(code: &str) -> String {
    let lines: Vec<&str> = code.lines().collect();
    let mut kept = String::with_capacity(code.len());
    let mut at = 0;
    while at < lines.len() {
        let module = lines
            .get(at + 1)
            .is_some_and(|next| next.contains("mod ") && next.ends_with('{'));
        if lines[at] == "#[cfg(test)]" && module {
            let rest = &lines[at..];
            at += rest
                .iter()
                .position(|line| *line == "}")
                .map_or(rest.len(), |end| end + 1);
            continue;
        }
        kept.push_str(lines[at]);
        kept.push('\n');
        at += 1;
    }
    kept
}

/// Returns the rooms whose names follow `crate::`, alone or in a list in braces.
fn used_rooms(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (position, _) in code.match_indices("crate::") {
        let rest = &code[position + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            used.extend(first_words(list));
        } else {
            used.extend(word(rest));
        }
    }
    used.retain(|name| ALL.contains(&name.as_str()));
    used
}

/// Returns the word that a text begins with.
fn word(text: &str) -> Option<String> {
    let word: String = text
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

/// Returns the first word of each item of a list in braces.
fn first_words(list: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut depth = 0_usize;
    let mut begins = true;
    for (position, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if c.is_whitespace() => {}
            _ => {
                if begins && depth == 0 {
                    words.extend(word(&list[position..]));
                }
                begins = false;
            }
        }
    }
    words
}

/// Tells whether a chain of `super` reaches the crate's root, past the check of `crate::` paths.
fn climbs_out(file: &Path, code: &str) -> bool {
    let below = file
        .strip_prefix(repository().join("src"))
        .unwrap_or(file)
        .components()
        .count();
    // `src/room/file.rs` is two modules deep, `src/room/mod.rs` one.
    let depth = if file.ends_with("mod.rs") {
        below - 1
    } else {
        below
    };
    code.contains(&"super::".repeat(depth))
}

/// Returns the targets of a page's links, outside code.
fn links(page: &str) -> Vec<String> {
    let prose = without_code_blocks(page);
    prose
        .match_indices("](")
        .filter_map(|(position, mark)| {
            let rest = &prose[position + mark.len()..];
            rest.find(')').map(|end| rest[..end].to_owned())
        })
        .collect()
}

/// Returns the anchors of a page's headings, as a renderer of Markdown makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let prose = without_code_blocks(page);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| {
            heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// Returns the words of a page that stand between backticks.
fn code_words(page: &str) -> Vec<String> {
    without_code_blocks(page)
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| !word.contains(char::is_whitespace))
        .map(str::to_owned)
        .collect()
}

/// Leaves out the blocks between lines of three backticks.
fn without_code_blocks(page: &str) -> String {
    let mut inside = false;
    let mut prose = String::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}
