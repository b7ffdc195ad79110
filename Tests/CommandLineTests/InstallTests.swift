import Basics
import Foundation
import LabTestSupport
import Testing

/// What `make install` does with a built program.
@Suite struct InstallTests {
  @Test("An installed program finds its presets from any folder, and shells find its completions")
  func installed() throws {
    let scratch = try Scratch(), prefix = scratch("usr")
    let made = try BuiltProgram.attnlab.shell(
      "bash .ci/install-program \"$(command -v attnlab)\" '\(prefix)'", in: ".")
    try #require(made.code == 0, "\(made.errors)")
    for file in [
      "bash-completion/completions/attnlab", "zsh/site-functions/_attnlab",
      "fish/vendor_completions.d/attnlab.fish", "attnlab/Sources/Tasks/Text/TextCorpus.swift",
    ] {
      #expect(try !String(contentsOfFile: "\(prefix)/share/\(file)", encoding: .utf8).isEmpty)
    }
    // A script that lines were folded in is none: bash reads every line of it.
    let read = try BuiltProgram.attnlab.shell(
      "COLUMNS=60 bash -c 'source <(attnlab --generate-completion-script bash) && complete -p attnlab' "
        + "&& bash -n '\(prefix)/share/bash-completion/completions/attnlab'", in: ".")
    #expect(read.code == 0 && read.errors.isEmpty && read.output.contains("attnlab"), "\(read.errors)")
    let found = try BuiltProgram.attnlab.shell(
      "cd / && '\(prefix)/bin/attnlab' list --json && '\(prefix)/bin/attnlab' run quickstart --dry-run",
      in: ".")
    try #require(found.code == 0, "\(found.errors)")
    #expect(found.output.contains("\(prefix)/share/attnlab/Experiments/quickstart.yaml"))
    #expect(found.output.contains("full forward n=256"))
    // A copy without any file beside it has them within itself; a file of the same name goes before.
    let alone = try BuiltProgram.attnlab.shell(
      "mkdir -p '\(prefix)/alone' && cd '\(prefix)/alone' && mv ../bin/attnlab . && rm -rf ../share "
        + "&& ./attnlab list --json && ./attnlab run quickstart --dry-run && ./attnlab run quikstart; "
        + "mkdir Experiments && echo '{variants: [full], n: 8}' > Experiments/quickstart.yaml "
        + "&& ./attnlab run quickstart --dry-run",
      in: ".")
    try #require(alone.code == 0, "\(alone.errors)")
    #expect(alone.output.contains("attnlab:Experiments/quickstart.yaml"))
    #expect(alone.output.contains("full forward n=256") && alone.output.contains("full forward n=8"))
    #expect(alone.errors.contains("quickstart"), "\(alone.errors)")
  }
}
