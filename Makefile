# Every target is a command a person could type; `make` alone lists them.
# `quickstart` and `test` first install what is missing, so a Debian machine with only make is enough.

PREFIX ?= /usr/local
# rustup puts cargo here, and not every shell knows it.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help quickstart build install deb container test torture check docs fmt bench

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1#/p' $(MAKEFILE_LIST) | awk -F"#" '{ printf "%-18s%s\n", $$1, $$2 }'

quickstart: ## the whole story on this machine, in under a minute once built
	@scripts/setup quickstart
	@scripts/quickstart

build: ## the release programs: target/release/hallpass, and hallpass-main behind it
	@scripts/setup build
	cargo build --release --locked -p hallpass

install: build ## put it under PREFIX (/usr/local)
	install -D -m 755 target/release/hallpass-main $(DESTDIR)$(PREFIX)/libexec/hallpass/hallpass-main
	install -D -m 755 target/release/hallpass $(DESTDIR)$(PREFIX)/bin/hallpass

deb: build ## a Debian package of it, with the service, in target/debian
	scripts/deb

container: build ## an image of the server, named hallpass
	scripts/container

test: ## every test, with the browser and the other implementations it needs
	@scripts/setup test
	cargo build --workspace --all-targets --locked
	scripts/quickstart --built
	cargo test --workspace --locked
	cargo test -p hallpass-holder --all-features --doc --locked

torture: ## 20,000 renewals with 500 kills, and again with a provider that forgives no lost answer
	@scripts/setup test
	cargo build --release --locked -p hallpass
	scripts/torture

check: ## format, lints, docs, dependency policy, generated files
	@scripts/setup check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p hallpass-verifier --no-default-features --locked -- -D warnings
	cargo clippy -p hallpass-holder --locked -- -D warnings
	cargo clippy -p hallpass-holder --features clap,client --locked -- -D warnings
	cargo clippy -p hallpass-holder --all-features --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	scripts/dependency-policy
	scripts/check-docs
	scripts/holder-api --check

docs: ## the program's own documentation, in target/doc
	@scripts/setup build
	cargo doc --workspace --no-deps --locked

fmt: ## format the code
	cargo fmt --all

bench: ## our numbers beside other implementations'; ONLY=name,name for some of them
	@scripts/setup bench
	cargo build --release --locked -p hallpass -p hallpass-bench
	target/release/hallpass-bench $(if $(ONLY),--only $(ONLY))
