# What a newcomer types. Every target installs what is missing first (see .ci/install).
#   make quickstart   build in release, run Experiments/quickstart.yaml, end with a comparison and a report
#   make test         all tests
#   make check        formatting, conformance of every variant on every instruction set that the machine has, the logic of
#                     those that it has not, sanitizers
#   make bench        the performance preset: fractions of measured peak

SWIFT ?= swift
ATTNLAB = .build/release/attnlab

.PHONY: quickstart test check bench build setup format lint

quickstart: build
	@$(ATTNLAB) run quickstart
	@$(ATTNLAB) run quickstart-training

test: setup
	$(SWIFT) test --disable-xctest

check: lint build
	$(ATTNLAB) check
	bash Experiments/instruction-sets/sixteen-lanes.sh
	ASAN_OPTIONS=allocator_may_return_null=1 $(SWIFT) test --disable-xctest --sanitize=address --filter 'Tensors|AttentionCore|AttentionTests|TransformerTests'
	TSAN_OPTIONS=allocator_may_return_null=1:suppressions=$(CURDIR)/Tests/tsan-suppressions.txt $(SWIFT) test --disable-xctest --sanitize=thread --filter 'Tensors|AttentionTests|GenerationTests|TrainerTests'

bench: build
	$(ATTNLAB) bench

build: setup
	@$(SWIFT) build -c release --product attnlab

setup:
	@bash .ci/install

format:
	$(SWIFT) format -i -r Package.swift Sources Tests

lint:
	$(SWIFT) format lint --strict -r Package.swift Sources Tests
