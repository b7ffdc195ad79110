import Analysis
import Basics
import Records
import LeastSquares
import ScalingLaws

extension TrainingLaw {
  /// What the other trainings say of one that is still to be made.
  public struct HeldOut: Sendable {
    /// The law that was asked.
    public let law: String
    /// The loss, with the interval of a new measurement.
    public let loss: Double, low: Double?, high: Double?

    /// `1.42 [1.41, 1.44] by L(N)`.
    public var text: String {
      func end(_ value: Double?) -> String { value.map { Quantity.significant($0, 4) } ?? "?" }
      return "\(Quantity.significant(loss, 4)) [\(end(low)), \(end(high))] by \(law)"
    }

    /// Writes it into the row that it is about.
    func store(in row: inout TrainingRow) {
      (row.predictedLoss, row.predictedLow, row.predictedHigh, row.predictedBy) = (loss, low, high, law)
    }
  }

  /// The loss of a training that is not made yet, by the law that knows most of what is asked.
  /// - Parameters:
  ///   - place: what varies, by column.
  ///   - row: what the training is: a law of other trainings does not speak of it.
  ///   - laws: of those that were made.
  static func predict(_ place: [String: Double], of row: TrainingRow, from laws: [TrainingLaw]) -> HeldOut? {
    for kind in [Kind.context, .joint, .parameters, .data, .compute] {
      for law in laws where law.kind == kind && law.speaks(of: row) {
        guard case .success(let fit) = law.fit else { continue }
        let prediction = fit.predict(at: kind.columns.map { place[$0] ?? .nan })
        guard prediction.value.isFinite else { continue }
        return HeldOut(law: kind.rawValue, loss: prediction.value, low: prediction.low, high: prediction.high)
      }
    }
    return nil
  }

  /// The law in words: what was fitted, its irreducible loss, and what is known of it.
  public var lines: [String] {
    let head =
      "\(kind.rawValue)\(series.isEmpty ? "" : " of \(series)"), \(condition), \(counted(rows.count, "training"))"
    switch fit {
    case .failure(let error): return ["\(head): \(error)"]
    case .success(let fit):
      var lines = ["\(head): \(fit.form.formula)"]
      lines.append("  " + fit.parameters.map(Self.describe).joined(separator: ", "))
      if let floor = fit.parameters[kind.floor], let rate = entropyRate {
        lines.append("  " + Self.verdict(floor, rate))
      }
      if let sizes = allocation(fit) { lines.append("  " + sizes) }
      return lines + fit.warnings.prefix(3).map { "  warning: \($0.text)" }
    }
  }

  private static func describe(_ p: ParameterEstimate) -> String {
    "\(p.name) \(p.value.map { Quantity.significant($0, 4) } ?? "not identified") [\(end(p.low)), \(end(p.high))]"
  }

  private static func end(_ value: Double?) -> String { value.map { Quantity.significant($0, 4) } ?? "?" }

  /// The fitted irreducible loss beside the entropy rate.
  static func verdict(_ floor: ParameterEstimate, _ rate: Double) -> String {
    let known = "the source's entropy rate is \(Quantity.significant(rate, 5)) nats"
    guard let value = floor.value, let low = floor.low, let high = floor.high else {
      return "\(known); the irreducible loss has no interval here"
    }
    let difference = Quantity.significant(100 * (value / rate - 1), 2)
    return "\(known): \(low <= rate && rate <= high ? "inside" : "outside") the interval of \(floor.name), "
      + "which is \(difference) % \(value < rate ? "below" : "above") it".replacing("-", with: "")
  }

  /// How a budget is best divided, by the joint law.
  private func allocation(_ fit: Fit) -> String? {
    guard kind == .joint, let k = flopsPerParameterToken,
      let budget = rows.compactMap(\.computeFlops).max(),
      let best = try? fit.allocation(budget: budget, flopsPerParameterToken: k)
    else { return nil }
    return
      "best at C = \(Quantity.significant(budget, 3)): N \(Quantity.significant(best.parameters.value, 3)), "
      + "D \(Quantity.significant(best.tokens.value, 3)); N ∝ C^\(Quantity.significant(best.exponent.value, 3))"
      + " [\(Self.end(best.exponent.low)), \(Self.end(best.exponent.high))]"
  }

  /// k in C = k·N·D: the median over the trainings of counted operations a parameter and token.
  var flopsPerParameterToken: Double? {
    let all = rows.compactMap { row -> Double? in
      guard let c = row.computeFlops, let n = row.parameters, let d = row.tokens, n > 0, d > 0 else {
        return nil
      }
      return c / (Double(n) * Double(d))
    }.sorted()
    return all.isEmpty ? nil : all[all.count / 2]
  }

  /// The law as JSON: as `attnlab fit --json` has it, with what it is about.
  public var json: JSONValue {
    var members: [(String, JSONValue)] = [
      ("law", .string(kind.rawValue)), ("series", .string(series)), ("condition", .string(condition)),
      ("entropy_rate", .number(entropyRate)),
    ]
    switch fit {
    case .success(let fit): members.append(("fit", FitRecord(group: nil, fit: fit).json))
    case .failure(let error): members.append(("reason", .string("\(error)")))
    }
    return .object(members.map { JSONValue.Member(key: $0.0, value: $0.1) })
  }
}
