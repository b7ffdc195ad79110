import Figures
import Records

extension Figure.Axis {
  /// A column as an axis. The unit is the one that the column is declared with, where this program writes a column of
  /// that name, and else what the name says of it. It is said once: at the numbers, or in the label.
  /// - Parameter losses: the unit of the rows' losses, where their models tell it.
  static func column(_ name: String, isLog: Bool, losses: String? = nil) -> Figure.Axis {
    let words = Self.words(name)
    let plain: Figure.Scale = isLog ? .log : .linear
    func axis(_ quantity: String, _ unit: String, _ scale: Figure.Scale? = nil) -> Figure.Axis {
      if isLog, let scale { return .init(quantity, scale) }
      return .init("\(quantity) (\(unit))", plain)
    }
    let declared = declared[name].map { unit in name.hasSuffix("loss") ? losses ?? unit : unit }
    switch declared ?? unit(of: name) {
    case "": return .init(words, plain)
    case "s": return axis(words.replacing("seconds", with: "time"), "s", .seconds)
    case "bytes":
      return axis(words.hasSuffix(" bytes") ? String(words.dropLast(6)) : words, "bytes", .bytes)
    case "GFLOP/s": return axis(words.replacing("gflops", with: "speed"), "GFLOP/s")
    case "tokens" where isLog && (name == "n" || name.hasSuffix("length")):
      return .init("\(words) (tokens)", .length)
    case let unit: return unit.hasPrefix(words) ? .init(words, plain) : axis(words, unit)
    }
  }

  /// A column's name as it is said: what qualifies a quantity stands before it, the relative error of `error_rel`.
  private static func words(_ name: String) -> String {
    let words = name.replacing("_", with: " ")
    for (last, adjective) in [(" rel", "relative"), (" median", "median")] where words.hasSuffix(last) {
      return "\(adjective) \(words.dropLast(last.count))"
    }
    return words
  }

  /// The units of all columns that are declared.
  private static let declared: [String: String] = {
    func units<Row: Record>(_ row: Row.Type) -> [(String, String)] { row.schema.map { ($0.name, $0.unit) } }
    let all =
      units(MeasurementRow.self) + units(TrainingRow.self) + units(CurveRow.self) + units(FitRow.self)
    return Dictionary(all) { first, _ in first }
  }()

  /// What the name of a column of another program says of its unit.
  private static func unit(of name: String) -> String {
    if name.hasSuffix("_bytes") { return "bytes" }
    if name.contains("seconds") { return "s" }
    if name.hasSuffix("gflops") { return "GFLOP/s" }
    return name.hasSuffix("length") || name == "n" ? "tokens" : ""
  }
}
