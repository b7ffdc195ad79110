import AttentionCore
import Basics
import ScalingLaws
import Settings

/// The rows of a CSV file as fits need them: filtered, with derived columns, split into groups.
///
/// A cell is looked at only when it is needed, so text in a column that no fit reads, or in a row that the filter
/// leaves out, is nobody's error.
public struct FitTable: Sendable {
  private let table: CSVTable
  private let index: [String: Int]
  private var derived: [(name: String, expression: FormulaExpression)] = []

  /// The rows of one group.
  public struct Group: Sendable {
    /// The value of the grouping column, or nil without one.
    public let label: String?
    /// The rows.
    public let data: FitData
    /// Lines left out because a cell that is needed is empty.
    public let incompleteLines: [Int]
  }

  /// What to read.
  public struct Request: Sendable {
    /// Names of the variables.
    public var variables: [String]
    /// The response, an expression over columns.
    public var response: FormulaExpression
    /// The column of weights.
    public var weights: String?
    /// The column whose equal values belong together.
    public var cluster: String?
    /// The column that splits the rows.
    public var group: String?
    /// The rows to keep.
    public var filter: FormulaExpression?

    /// Variables and response; everything else is set afterwards.
    public init(variables: [String], response: FormulaExpression) {
      self.variables = variables
      self.response = response
    }
  }

  /// A file's rows.
  /// - Parameter definitions: `NAME=FORMULA`, over columns and earlier names.
  /// - Throws: `UsageError`.
  public init(_ table: CSVTable, definitions: [String] = []) throws {
    self.table = table
    index = Dictionary(uniqueKeysWithValues: table.header.enumerated().map { ($1, $0) })
    for definition in definitions {
      let sides = definition.split(separator: "=", maxSplits: 1).map(String.init)
      guard sides.count == 2 else { throw UsageError("--define \(definition): write NAME=FORMULA") }
      let name = sides[0].filter { $0 != " " }
      guard !name.isEmpty else { throw UsageError("--define \(definition): write NAME=FORMULA") }
      guard index[name] == nil, !derived.contains(where: { $0.name == name }) else {
        throw UsageError("--define \(definition): \(table.file) has a column \(name) already")
      }
      let expression = try FormulaExpression(parsing: sides[1])
      for used in expression.names { try check(used) }
      derived.append((name, expression))
    }
  }

  /// The columns and derived columns.
  public var names: [String] { table.header + derived.map(\.name) }

  /// The number of rows in the file.
  public var count: Int { table.rows.count }

  private func check(_ name: String) throws {
    guard names.contains(name) else {
      let near = nearestName(to: name, among: names).map { " (did you mean \($0)?)" } ?? ""
      throw UsageError("\(table.file): no column \(name)\(near); there are \(names.joined(separator: ", "))")
    }
  }

  /// A cell as a number: nil when it is empty.
  private func number(_ name: String, _ row: Int) throws -> Double? {
    if let column = index[name] {
      let text = table.rows[row][column]
      if text.isEmpty { return nil }
      if let value = Double(text), value.isFinite { return value }
      let trimmed = text.split(separator: " ").joined(separator: " ")
      if trimmed.isEmpty { return nil }
      if let value = Double(trimmed), value.isFinite { return value }
      throw UsageError("\(table.file):\(table.lines[row]): column \(name): '\(text)' is not a finite number")
    }
    guard let (_, expression) = derived.first(where: { $0.name == name }) else { return nil }
    return try value(of: expression, row)
  }

  /// An expression at a row: nil when a cell in it is empty.
  private func value(of expression: FormulaExpression, _ row: Int) throws -> Double? {
    do {
      let value = try expression.value { name in
        guard let value = try number(name, row) else { throw EmptyCell() }
        return value
      }
      return value
    } catch is EmptyCell { return nil }
  }

  private struct EmptyCell: Error {}

  /// Whether a row passes a filter; comparisons with an empty cell do not.
  private func passes(_ filter: FormulaExpression, _ row: Int) throws -> Bool {
    switch filter {
    case .binary(.and, let a, let b): return try passes(a, row) && passes(b, row)
    case .binary(.or, let a, let b): return try passes(a, row) || passes(b, row)
    case .call(.not, let a): return try !passes(a, row)
    case .binary(.equal, .name(let name), .text(let text)), .binary(.equal, .text(let text), .name(let name)):
      return try string(name, row) == text
    case .binary(.notEqual, .name(let name), .text(let text)),
      .binary(.notEqual, .text(let text), .name(let name)):
      return try string(name, row) != text
    default: return try (value(of: filter, row) ?? 0) != 0
    }
  }

  private func string(_ name: String, _ row: Int) throws -> String {
    if let column = index[name] { return table.rows[row][column] }
    return try number(name, row).map { "\($0)" } ?? ""
  }

  /// The groups in order of appearance; one with the label nil when there is no grouping column.
  /// - Throws: `UsageError` that names file, line and column.
  public func groups(_ request: Request) throws -> [Group] {
    for name in request.variables + request.response.names { try check(name) }
    for name in [request.weights, request.cluster, request.group].compactMap({ $0 }) { try check(name) }
    for name in request.filter?.names ?? [] { try check(name) }
    var builders: [String: Builder] = [:]
    var order: [String] = []
    var kept = 0
    for row in table.rows.indices {
      if let filter = request.filter, try !passes(filter, row) { continue }
      kept += 1
      let label = try request.group.map { try string($0, row) } ?? ""
      if builders[label] == nil {
        order.append(label)
        builders[label] = Builder(variables: request.variables.count)
      }
      let x = try request.variables.map { try number($0, row) }
      let y = try value(of: request.response, row)
      let weight = try request.weights.map { try number($0, row) }
      guard let y, x.allSatisfy({ $0 != nil }), weight != .some(nil) else {
        builders[label]?.incomplete.append(table.lines[row])
        continue
      }
      builders[label]?.add(
        x.compactMap { $0 }, y, weight ?? nil, try request.cluster.map { try string($0, row) },
        table.lines[row])
    }
    guard kept > 0 else {
      throw UsageError("\(table.file): no row \(table.rows.isEmpty ? "below the header" : "passes --where")")
    }
    return try order.map { label in
      guard let builder = builders[label] else { throw UsageError("\(table.file): no group \(label)") }
      do {
        let data = try FitData(
          columns: Array(zip(request.variables, builder.columns)), response: builder.response,
          weights: request.weights == nil ? nil : builder.weights,
          clusters: request.cluster == nil ? nil : builder.clusters, rowNumbers: builder.lines,
          rowWord: "line")
        return Group(
          label: request.group == nil ? nil : label, data: data, incompleteLines: builder.incomplete)
      } catch let error as FitError {
        throw UsageError("\(table.file): \(error.description)")
      }
    }
  }

  private struct Builder {
    var columns: [[Double]]
    var response: [Double] = []
    var weights: [Double] = []
    var clusters: [String] = []
    var lines: [Int] = []
    var incomplete: [Int] = []

    init(variables: Int) { columns = [[Double]](repeating: [], count: variables) }

    mutating func add(_ x: [Double], _ y: Double, _ weight: Double?, _ cluster: String?, _ line: Int) {
      for j in x.indices { columns[j].append(x[j]) }
      response.append(y)
      if let weight { weights.append(weight) }
      if let cluster { clusters.append(cluster) }
      lines.append(line)
    }
  }
}
