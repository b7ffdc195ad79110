import Basics
import Measuring
import Presets
import Tensors

/// What was chosen by the processor, and from what it follows, as `attnlab doctor` shows it.
public struct ChoiceTable: Sendable {
  private let resolved: ProcessorChoices.Resolved
  private let processor: ProcessorDescription

  /// The choices of this process.
  public init() { self.init(ProcessorChoices.resolved(), on: .here()) }

  /// Choices of a processor.
  public init(_ resolved: ProcessorChoices.Resolved, on processor: ProcessorDescription) {
    (self.resolved, self.processor) = (resolved, processor)
  }

  /// What a choice follows from.
  private func reason(_ choice: ProcessorChoice) -> String {
    let derived = choice.derived(processor), own = resolved.choices[choice]
    if own == derived.value { return derived.reason }
    return (resolved.source == .environment ? "ATTNLAB_CHOICES" : "tuned") + ", in place of \(derived.value)"
  }

  /// Where they come from, a line for each, and how to tune them or to forget what was tuned.
  public var text: String {
    var table = TextTable(["choice", "value", "unit", "follows from", "bits"])
    for choice in ProcessorChoice.all {
      table.add([
        choice.name, "\(resolved.choices[choice])", choice.unit, reason(choice),
        choice.changesBits ? "changes" : "keeps",
      ])
    }
    return "choices by the processor: \(resolved.source)\n\n" + table.text + "\n\n" + advice
  }

  private var advice: String {
    if let warning = resolved.warning { return "not used: " + warning }
    switch resolved.source {
    case .file(let path):
      let time = ChoiceFile.time(path, for: processor).map { " on \($0)" } ?? ""
      return "measured\(time) by attnlab bench --tune; remove \(path) to go back to derived choices"
    case .environment: return "unset ATTNLAB_CHOICES to go back to derived or tuned choices"
    case .derived: return "attnlab bench --tune measures them on this machine and keeps what is faster"
    }
  }

  /// The same for programs.
  public var json: JSONValue {
    var path: String?
    if case .file(let own) = resolved.source { path = own }
    return .object([
      "processor": .string(processor.description), "source": .string("\(resolved.source)"),
      "file": .text(path),
      "warning": .text(resolved.warning),
      "values": .object(
        ProcessorChoice.all.map {
          .init(
            key: $0.name,
            value: .object([
              "value": .int(resolved.choices[$0]), "unit": .string($0.unit),
              "follows_from": .string(reason($0)),
              "equation": .string($0.equation), "changes_bits": .bool($0.changesBits),
              "help": .string($0.help),
            ]))
        }),
    ])
  }
}

/// What `attnlab bench --tune` found.
public struct TuningTable: Sendable {
  private let findings: [TuningFinding]

  /// Findings in the order in which they were made.
  public init(_ findings: [TuningFinding]) { self.findings = findings }

  /// A line for each choice: its candidates with their middle times, and what is taken.
  public var text: String {
    var table = TextTable(["choice", "before", "candidates", "taken", "faster by", "measured on"])
    for finding in findings {
      let times = finding.values.indices.map {
        "\(finding.values[$0]): \(Quantity.describe(seconds: finding.median($0)))"
      }
      let gain = 1 - finding.median(finding.taken) / finding.median(0)
      table.add([
        finding.name, finding.values[0], times.joined(separator: ", "), finding.values[finding.taken],
        finding.isChanged ? "\(Quantity.significant(100 * gain, 2)) %" : "–", finding.work,
      ])
    }
    return table.text
  }

  /// The same for programs.
  public var json: JSONValue {
    .array(
      findings.map { finding in
        .object([
          "choice": .string(finding.name), "unit": .string(finding.unit), "work": .string(finding.work),
          "before": .string(finding.values[0]), "taken": .string(finding.values[finding.taken]),
          "candidates": .array(
            finding.values.indices.map {
              .object([
                "value": .string(finding.values[$0]), "seconds_median": .double(finding.median($0)),
                "seconds_p20": .double(Quantiles.of(finding.seconds[$0], 0.2)),
                "seconds_p80": .double(Quantiles.of(finding.seconds[$0], 0.8)),
              ])
            }),
        ])
      })
  }
}
