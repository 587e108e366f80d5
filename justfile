# Everyday commands; their lines can be typed by hand.

# build the program for release
build:
    cargo build --release

# check format, lints, licences and scripts
lint:
    cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings && ./scripts/licences
    shellcheck -x .ci/run fuzz/instrument scripts/* vagrant/scenario vagrant/provision vagrant/validate vagrant/*.sh

# run every test that needs no privileges
test:
    cargo test

# rewrite the snapshots; read the difference afterwards
golden:
    INSTA_UPDATE=always cargo test --package tortie

# send packets through a real kernel in network namespaces; as root
netns:
    cargo build && cargo test --package netns-tests

# fuzz for an hour
fuzz:
    ./scripts/fuzz 3600

# send packets through an older kernel; as root
older-kernel:
    ./scripts/test-kernel

# boot a Debian with systemd to look at the daemon under its unit file; as root
systemd:
    ./scripts/test-systemd

# compare the daemon with the evaluator for ten minutes; as root
compare:
    ./scripts/differential 600

# live through an installation with two hosts and an etcd, in network namespaces; as root
scenario:
    cargo build && TORTIE_BIN=target/debug/tortie ./vagrant/scenario namespaces

# measure the release build; as root
bench:
    ./scripts/bench

# rewrite the documents that are made from code
docs:
    UPDATE_DOCS=1 cargo test --test configuration_doc --test layout_doc
