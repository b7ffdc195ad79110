import AttentionCore
import Basics
import Settings
import Tensors

/// The first thing to know of a variant that failed: one sentence, a command that shows it on the smallest shape, and a picture
/// of what is wrong there.
package struct ConformanceFailure {
  /// What is wrong, in one sentence.
  package let sentence: String
  /// The command line that makes the failure again.
  package let command: String
  /// What is wrong where; `nil`: there is nothing to draw.
  package let picture: String?

  /// What a report's worst failure says; `nil`: nothing failed.
  /// - Parameters:
  ///   - report: what the variant was put through.
  ///   - conformance: what put it through.
  ///   - program: the name by which the program was called.
  ///   - seed: what names the inputs.
  package init?(_ report: ConformanceReport, of conformance: Conformance, program: String, seed: UInt64) {
    guard let failure = Self.first(report.failures) else { return nil }
    let smallest = conformance.smallest(failure)
    let check = smallest ?? failure
    let difference = smallest.flatMap { try? conformance.difference(of: $0) }
    sentence = Self.sentence(check, report.failures.count, difference)
    command = Self.command(
      report.variant, smallest, settings: failure.trial?.settings, conformance, program: program, seed: seed)
    picture = difference.map { DifferencePicture($0).text }
  }

  /// What a reader should hear first: tiles before outputs, outputs before gradients, since the one explains the other.
  private static func first(_ failures: [ConformanceCheck]) -> ConformanceCheck? {
    let order = ["runs", "pairs", "output", "lse", "needed pairs"]
    return failures.min { rank($0, order) < rank($1, order) }
  }

  private static func rank(_ check: ConformanceCheck, _ order: [String]) -> Int {
    (order.firstIndex(of: check.quantity) ?? order.count) + (check.trial == nil ? 100 : 0)
  }

  // MARK: - The sentence

  private static func sentence(
    _ check: ConformanceCheck, _ count: Int, _ difference: ConformanceDifference?
  ) -> String {
    let others = count == 1 ? "" : " (the first of \(count) failures)"
    return what(check, difference) + others
  }

  private static func what(_ check: ConformanceCheck, _ difference: ConformanceDifference?) -> String {
    switch check.quantity {
    case "runs": return "it stops instead of computing: \(check.detail.replacing("threw: ", with: ""))"
    case "pairs":
      return "its tiles are not the pairs of its definition: \(check.detail)"
        + (check.error > 1 ? ", and \(Int(check.error) - 1) more" : "")
    case "needed pairs": return "its cost counts other pairs than its definition: \(check.detail)"
    case "bits": return "\(check.group): \(Int(check.error)) numbers have other bits (\(check.detail))"
    case "definition" where check.group == "finite differences":
      return "the gradient of its definition is not the derivative of the definition's output"
    case "variant" where check.group == "finite differences":
      return "its gradient is not the derivative of its output"
    default: break
    }
    guard let difference, let worst = difference.worst else {
      return "\(check.group), \(check.quantity): the error is \(number(check.error)), "
        + "allowed is \(number(check.bound))" + (check.detail.isEmpty ? "" : " (\(check.detail))")
    }
    let share = "\(difference.wrong.count) of \(difference.found.count) numbers"
    return "its \(name(check.quantity)) is not that of its definition in \(share); "
      + "\(difference.place(worst)) is \(number(difference.found[worst])), "
      + "defined as \(number(difference.expected[worst]))"
  }

  private static func name(_ quantity: String) -> String {
    switch quantity {
    case "lse": "log-sum-exp"
    case "dq", "dk", "dv": "gradient \(quantity)"
    default: quantity
    }
  }

  private static func number(_ value: Double) -> String { Quantity.significant(value, 3) }

  // MARK: - The command

  private static func command(
    _ variant: String, _ smallest: ConformanceCheck?, settings: [String: ParameterValue]?,
    _ conformance: Conformance, program: String, seed: UInt64
  ) -> String {
    let defaults = Conformance.samples(of: conformance.type).first ?? [:]
    var words = [program, "check", variant]
    if let item = smallest?.trial?.item, item.inputScale == 1 {
      words += ShapeFlags.words(of: item.shape)
      words += set(of: smallest).map { ["--isa", $0] } ?? []
    }
    if conformance.precision != .float32 { words += ["--precision", "\(conformance.precision)"] }
    if seed != 1 { words += ["--seed", "\(seed)"] }
    for (name, value) in (settings ?? [:]).sorted(by: { $0.key < $1.key })
    where value != defaults[name] {
      words += ["--set", shellQuoted("\(name)=\(value)", plain: "=_-.,:/")]
    }
    return words.joined(separator: " ")
  }

  /// The instruction set that a check ran on.
  private static func set(of check: ConformanceCheck?) -> String? {
    guard let subject = check?.subject else { return nil }
    return InstructionSet.allCases.first { set in
      ["", " in pairs", " up-converting"].contains { subject.hasSuffix("; \(set)\($0)") }
    }?.rawValue
  }

  /// The sentence that leads a page; a screen may wrap it.
  package func headline(variant: String) -> String { "\(variant): FAILED: \(sentence)" }

  /// The command and the picture, whose lines are to be left as they are: one is pasted, one is a grid.
  package var exactLines: String {
    (["  \(command)", ""] + (picture.map { [$0, ""] } ?? [])).joined(separator: "\n")
  }

  /// What `--json` says.
  package var json: JSONValue {
    .object(["sentence": .string(sentence), "command": .string(command)])
  }
}

/// The flags by which a command says a shape.
package enum ShapeFlags {
  /// The flags of a shape, without those that say what is so anyway.
  package static func words(of shape: AttentionShape) -> [String] {
    var words = ["--n", "\(shape.queryLength)"]
    func add(_ flag: String, _ value: Int, _ usual: Int) {
      if value != usual { words += [flag, "\(value)"] }
    }
    add("--key-length", shape.keyLength, shape.queryLength)
    add("--batch", shape.batch, 1)
    add("--heads", shape.queryHeads, 1)
    add("--key-heads", shape.keyHeads, shape.queryHeads)
    words += ["--head-dim", "\(shape.headDim)"]
    add("--value-dim", shape.valueDim, shape.headDim)
    if shape.isCausal { words.append("--causal") }
    if let lengths = shape.keyLengths {
      words += ["--key-lengths", lengths.map(String.init).joined(separator: ",")]
    }
    if let scale = shape.scale { words += ["--scale", "\(scale)"] }
    return words
  }
}
