# What a newcomer types. Every target installs what is missing first (see .ci/install).
#   make quickstart   build in release, run Experiments/quickstart.yaml, end with a comparison and a report
#   make test         all tests, of the optimised program: it is what people run, and they take a fifth of the time of a debug build
#   make check        formatting, declared imports, bodies that are slow to type-check, conformance of every variant on every
#                     instruction set that the machine has, the logic of those that it has not, the examples of help pages
#                     and documents with the optimised program, sanitizers
#   make custom       the package Experiments/CustomVariant: every subcommand with a variant from outside
#   make docs         the documentation by docc, a warning being an error; part of make lint
#   make pages        the tables and pictures of the documentation, and the committed counts, written anew
#   make install      the optimised program into PREFIX/bin (default /usr/local), presets and text into PREFIX/share/attnlab,
#                     completions for bash, zsh and fish where those shells look for them; DESTDIR for packagers
#   make fuzz         a million mutated inputs for every reader; goes on where it was stopped
#   make bench        the performance preset: fractions of measured peak

SWIFT ?= swift
ATTNLAB = .build/release/attnlab
PREFIX ?= /usr/local

.PHONY: quickstart test check custom fuzz bench install build setup format lint bodies docs pages

quickstart: build
	@$(ATTNLAB) run quickstart
	@$(ATTNLAB) run quickstart-training

test: setup
	$(SWIFT) test -c release -Xswiftc -enable-testing --scratch-path .build/test --disable-xctest $(TEST_OPTIONS)

check: lint bodies build custom
	$(ATTNLAB) check
	ATTNLAB_PROGRAM=$(CURDIR)/$(ATTNLAB) $(SWIFT) test --disable-xctest --filter ExampleTests
	bash Experiments/instruction-sets/sixteen-lanes.sh
	ASAN_OPTIONS=allocator_may_return_null=1 $(SWIFT) test --disable-xctest --sanitize=address --filter 'Tensors|AttentionCore|AttentionTests|LayersTests|ModelsTests'
	TSAN_OPTIONS=allocator_may_return_null=1:suppressions=$(CURDIR)/Tests/tsan-suppressions.txt $(SWIFT) test --disable-xctest --sanitize=thread --filter 'Tensors|AttentionTests|GenerationTests|TrainerTests' --skip 'VariantConformanceTests/samples'

custom: setup
	bash Experiments/CustomVariant/check.sh

fuzz: setup
	$(SWIFT) build -c release --product attnlab-fuzz
	.build/release/attnlab-fuzz $(FUZZ)

bench: build
	$(ATTNLAB) bench

install: build
	@bash .ci/install-program $(ATTNLAB) "$(DESTDIR)$(PREFIX)"

build: setup
	@$(SWIFT) build -c release --product attnlab

setup:
	@bash .ci/install

format:
	$(SWIFT) format -i -r Package.swift Sources Tests Experiments

lint: setup
	$(SWIFT) format lint --strict -r Package.swift Sources Tests Experiments
	$(SWIFT) build --build-tests --explicit-target-dependency-import-check error
	bash .ci/documentation

docs: setup
	@$(SWIFT) build
	bash .ci/documentation

pages: setup
	ATTNLAB_WRITE_PAGES=1 $(SWIFT) test --disable-xctest --filter 'DocumentationTests|PageSnapshotTests|ExampleTests/catalogue|CommittedCountsTests|ManyThreadsTests|ProcessorChoicePageTests|FiguresPageTests'

# One expression without a type took 116 s to type-check, a third of a first build: a body of over a second is an error.
bodies: setup
	$(SWIFT) build --scratch-path .build/bodies -Xswiftc -Xfrontend -Xswiftc -warn-long-function-bodies=1000
