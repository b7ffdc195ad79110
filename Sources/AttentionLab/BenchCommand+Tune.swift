import Basics
import Commands
import Measuring
import Pages
import Processes
import Tensors

extension BenchCommand {
  /// Measures choices anew and keeps what is taken.
  func runTuning() throws {
    let given = [("--out", out != nil), ("--only", only != nil), ("--fresh", fresh)].filter(\.1).map(\.0)
    if let flag = given.first {
      throw UsageError(
        "\(flag) says what of the preset is run; --tune runs nothing of it: leave out one of the two")
    }
    guard let path = ChoiceFile.path else {
      throw UsageError("--tune has nowhere to keep what it finds: set XDG_CONFIG_HOME or HOME to a folder")
    }
    let processor = ProcessorDescription.here(), resolved = ProcessorChoices.resolved()
    if resolved.source == .environment {
      throw UsageError("ATTNLAB_CHOICES says what is chosen; --tune finds it out: unset ATTNLAB_CHOICES")
    }
    var choices = resolved.choices
    let probes = Tuning.probes(Installed.catalog)
    if dryRun { return showProbes(probes.map { $0(choices) }, path) }
    // Refused before half a minute, not after it.
    try ChoiceFile.check(path)
    let findings = try Tuning.run(probes, choices: &choices, note: Terminal.progress)
    Terminal.clearProgress()
    try ChoiceFile.write(choices, for: processor, to: path)
    let table = TuningTable(findings), changed = findings.filter(\.isChanged).map(\.name)
    show(
      table.text + "\n\n"
        + (changed.isEmpty
          ? "nothing is faster than what was chosen" : "changed: " + changed.joined(separator: ", "))
        + "\nkept in \(path) for \(processor); remove it to go back to derived choices",
      or: .object([
        "file": .string(path), "processor": .string(processor.description),
        "changed": .array(changed.map { .string($0) }),
        "choices": table.json,
      ]), if: json)
  }

  private func showProbes(_ probes: [TuningProbe], _ path: String) {
    var table = TextTable(["choice", "candidates", "measured on"])
    for probe in probes {
      table.add([probe.name, probe.candidates.map(\.text).joined(separator: ", "), probe.work])
    }
    show(
      table.text + "\n\nwould be kept in \(path)",
      or: .object([
        "file": .string(path),
        "choices": .array(
          probes.map {
            .object([
              "choice": .string($0.name), "unit": .string($0.unit), "work": .string($0.work),
              "candidates": .array($0.candidates.map { .string($0.text) }),
            ])
          }),
      ]), if: json)
  }
}
