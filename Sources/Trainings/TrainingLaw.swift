import Basics
import Foundation
import Records
import LeastSquares
import ScalingLaws

/// A scaling law fitted to the trainings of a `runs.csv`: L(N), L(D), L(C), L(N, D) or L(N, n).
///
/// Which laws there are follows from the design: five sizes at one number of tokens allow L(N), five numbers of tokens
/// at one size L(D), five budgets L(C) of the best size at each, sizes and tokens that both vary L(N, D), sizes and lengths of the text that is read at one number of tokens L(N, n).
/// The loss is
/// that of the test split; where the source's own law is known, what that law scores on the same examples, less the
/// entropy rate, is taken off: it is the luck of the sample, shared by all rows, and not the model's.
public struct TrainingLaw: Sendable {
  /// What varies.
  public enum Kind: String, Sendable {
    /// Loss over parameters at one number of tokens.
    case parameters = "L(N)"
    /// Loss over tokens at one size.
    case data = "L(D)"
    /// The best loss over training operations.
    case compute = "L(C)"
    /// Loss over parameters and tokens.
    case joint = "L(N, D)"
    /// Loss over parameters and the length of the text that a model reads, at one number of tokens.
    case context = "L(N, n)"

    /// The variables: columns, and their values in a row.
    var variables: [(column: String, value: @Sendable (TrainingRow) -> Double?)] {
      switch self {
      case .parameters: [("parameters", { $0.parameters.map { Double($0) } })]
      case .data: [("tokens", { $0.tokens.map { Double($0) } })]
      case .compute: [("compute_flops", { $0.computeFlops })]
      case .joint: Kind.parameters.variables + Kind.data.variables
      case .context: Kind.parameters.variables + [Kind.length]
      }
    }
    private static let length: (column: String, value: @Sendable (TrainingRow) -> Double?) = (
      "task.length", { TrainingLaw.length(of: $0).map { Double($0) } }
    )
    var columns: [String] { variables.map(\.column) }
    /// Whether two things vary.
    var isJoint: Bool { self == .joint || self == .context }
    var form: any ScalingForm { isJoint ? Chinchilla() : PowerLawOffset(decays: true) }
    /// The parameter that is the irreducible loss.
    var floor: String { isJoint ? "E" : "c" }
  }

  /// What varies.
  public let kind: Kind
  /// The experiment and attention that it is about, where there are several.
  public let series: String
  /// What is held: `D = 819200 tokens`.
  public let condition: String
  /// The rows in the fit.
  public let rows: [TrainingRow]
  /// The fit, or why there is none.
  public let fit: Result<Fit, FitError>
  /// The rows as `attnlab fit --where` names them.
  let filter: String

  /// The source's entropy rate, where it is known.
  public var entropyRate: Double? { rows.first?.entropyRate }

  /// The response: the test loss, without the luck of the sample where that is known.
  static func response(_ row: TrainingRow) -> Double? {
    guard let loss = row.testLoss else { return nil }
    guard let rate = row.entropyRate, let optimum = row.optimalLoss else { return loss }
    return loss - optimum + rate
  }

  /// The response as `attnlab fit --y` takes it.
  var responseText: String {
    rows.allSatisfy { $0.optimalLoss != nil }
      ? "test_loss - optimal_loss + entropy_rate" : "test_loss"
  }

  /// The command that fits the same law to the same rows.
  public func command(file: String) -> String {
    "attnlab fit \(file) --x \(kind.columns.joined(separator: ",")) --y '\(responseText)'"
      + " --form \(kind.form.name) --where \"\(filter)\""
  }

  init(_ kind: Kind, series: String, condition: String, rows: [TrainingRow], filter: String) {
    (self.kind, self.series, self.condition, self.rows, self.filter) = (kind, series, condition, rows, filter)
    do throws(FitError) {
      let data = try FitData(
        columns: kind.variables.map { column, value in (column, rows.map { value($0) ?? .nan }) },
        response: rows.map { Self.response($0) ?? .nan })
      fit = .success(try Fitter(kind.form).fit(data))
    } catch {
      fit = .failure(error)
    }
  }

  /// All laws that the rows allow.
  public static func all(in rows: [TrainingRow]) -> [TrainingLaw] {
    let usable = rows.filter { $0.isTraining && !$0.isHeldOut && $0.status == .ok }
    let ofLengths = contexts(in: usable)
    let placed = Set(ofLengths.flatMap(\.rows).map(\.runID))
    // A slice of a design over lengths has the floor of its one length: the law over both says it better.
    // What is learned beside a task moves its loss: no law joins trainings with and without it.
    let series = grouped(usable) {
      [$0.experiment, $0.taskConfiguration, $0.attention, $0.machine, $0.auxiliary, family($0)]
        .joined(separator: "\u{1F}")
    }
    return ofLengths
      + series.filter { !placed.contains($0[0].runID) }.flatMap { own in
        let (name, filter) = naming(own, among: usable, isAlone: series.count == 1)
        return laws(of: own, name, filter)
      }
  }

  /// What trainings are called among others, and the rows as `attnlab fit --where` names them.
  private static func naming(
    _ own: [TrainingRow], among all: [TrainingRow], isAlone: Bool
  ) -> (name: String, filter: String) {
    var filter = "evaluation == 'test' && status == 'ok' && held_out != 'true'"
    guard !isAlone else { return ("", filter) }
    let (experiment, attention, machine) = (own[0].experiment, own[0].attention, own[0].machine)
    let machines = Set(all.map(\.machine)).count, others = own[0].auxiliary
    filter += " && attention == '\(attention)'"
    if Set(all.map(\.experiment)).count > 1 { filter += " && experiment == '\(experiment)'" }
    if machines > 1 { filter += " && machine == '\(machine)'" }
    // A text with a quotation mark cannot stand in a condition.
    let isNamed = !others.contains("'")
    if isNamed, Set(all.map(\.auxiliary)).count > 1 { filter += " && auxiliary == '\(others)'" }
    // What else tells them apart has no column of its own.
    let ids = Set(own.map(\.runID))
    let alike = all.filter {
      ($0.experiment, $0.attention, $0.machine) == (experiment, attention, machine)
        && (!isNamed || $0.auxiliary == others)
    }
    if !alike.allSatisfy({ ids.contains($0.runID) }) {
      filter += " && (" + own.map { "run_id == '\($0.runID)'" }.joined(separator: " || ") + ")"
    }
    let words = [
      experiment, attention, machines > 1 ? machine : "", others.isEmpty ? "" : "with \(others)",
    ]
    return (words.filter { !$0.isEmpty }.joined(separator: ": "), filter)
  }

  /// The length of the text that a model reads, where the task has one.
  static func length(of row: TrainingRow) -> Int? {
    TrainingRow.settings(row.taskConfiguration)["length"].flatMap { Int($0) }
  }

  /// Settings of a model that make it larger or smaller, and no other model.
  private static let sizes: Set = [
    "width", "layers", "encoder_layers", "segment_layers", "heads", "key_heads", "head_width", "hidden",
    "channels",
    "blocks", "stages", "seed", "vocabulary", "maximum_length", "classes", "output_vocabulary",
    "image_height",
    "image_width",
  ]

  /// What models of one law have in common: all settings but their sizes.
  private static func family(_ row: TrainingRow) -> String {
    TrainingRow.settings(row.modelConfiguration).filter { !sizes.contains($0.key) }.map { "\($0)=\($1)" }
      .sorted()
      .joined(separator: ";")
  }

  /// A task without its length.
  private static func taskOfAnyLength(_ row: TrainingRow) -> String {
    TrainingRow.settings(row.taskConfiguration).filter { $0.key != "length" }.map { "\($0)=\($1)" }.sorted()
      .joined(separator: ";")
  }

  /// The laws over sizes and lengths: three of each at one number of tokens.
  private static func contexts(in rows: [TrainingRow]) -> [TrainingLaw] {
    let designs = grouped(rows) {
      [
        $0.experiment, taskOfAnyLength($0), $0.attention, $0.machine, $0.auxiliary, family($0), $0["tokens"],
      ].joined(separator: "\u{1F}")
    }
    return designs.compactMap { own in
      guard Set(own.compactMap(length)).count >= 3, Set(own.map(\.parameters)).count >= 3, own.count >= 8
      else { return nil }
      let (name, filter) = naming(own, among: rows, isAlone: designs.count == 1)
      return TrainingLaw(
        .context, series: name, condition: "D = \(count(own[0]["tokens"])) tokens", rows: own, filter: filter)
    }
  }

  /// Whether a training is one of those that the law is about, but for what varies.
  func speaks(of row: TrainingRow) -> Bool {
    guard let own = rows.first, own.experiment == row.experiment, own.attention == row.attention,
      own.auxiliary == row.auxiliary, Self.family(own) == Self.family(row)
    else {
      return false
    }
    return kind == .context
      ? Self.taskOfAnyLength(own) == Self.taskOfAnyLength(row)
      : own.taskConfiguration == row.taskConfiguration
  }

  private static func laws(of rows: [TrainingRow], _ name: String, _ filter: String) -> [TrainingLaw] {
    let byTokens = grouped(rows) { $0["tokens"] }
    let bySize = grouped(rows) { $0["parameters"] }
    var laws: [TrainingLaw] = []
    let budgets = grouped(rows.filter { $0.computeBudget != nil }) { $0["compute_budget"] }
    if budgets.count >= 5, bySize.count > 1 {
      let best = budgets.flatMap(bestSize)
      let names = best.map { "run_id == '\($0.runID)'" }.joined(separator: " || ")
      laws.append(
        TrainingLaw(
          .compute, series: name, condition: "best size at each of \(budgets.count) budgets", rows: best,
          filter: "evaluation == 'test' && (\(names))"))
    }
    // A slice of a joint design has the floor of its one size or one number of tokens: the joint law says it better.
    if byTokens.count >= 3, bySize.count >= 3, rows.count >= 8 {
      laws.append(
        TrainingLaw(
          .joint, series: name, condition: "all \(rows.count) trainings", rows: rows, filter: filter))
      return laws
    }
    for own in byTokens where Set(own.map(\.parameters)).count >= 5 {
      let tokens = own[0]["tokens"]
      laws.append(
        TrainingLaw(
          .parameters, series: name, condition: "D = \(count(tokens)) tokens", rows: own,
          filter: filter + (byTokens.count > 1 ? " && tokens == \(tokens)" : "")))
    }
    for own in bySize where Set(own.map(\.tokens)).count >= 5 {
      let size = own[0]["parameters"]
      laws.append(
        TrainingLaw(
          .data, series: name, condition: "N = \(count(size)) parameters", rows: own,
          filter: filter + (bySize.count > 1 ? " && parameters == \(size)" : "")))
    }
    return laws
  }

  /// The trainings of the size whose mean loss over seeds is lowest.
  private static func bestSize(_ rows: [TrainingRow]) -> [TrainingRow] {
    func mean(_ rows: [TrainingRow]) -> Double {
      rows.reduce(0) { $0 + (response($1) ?? .infinity) } / Double(rows.count)
    }
    return grouped(rows) { $0["parameters"] }.min { mean($0) < mean($1) } ?? []
  }

  private static func count(_ text: String) -> String {
    Double(text).map { $0 < 1e6 ? Quantity.whole($0) : Quantity.significant($0, 3) } ?? text
  }
}
