import Basics
import Records
import Formulas
import LeastSquares

/// The rows of a CSV file as fits and plots need them: filtered, with derived columns, split into groups.
///
/// A cell is looked at only when it is needed, so text in a column that no fit reads, or in a row that the filter
/// leaves out, is nobody's error.
public struct FitTable: Sendable {
  let table: CSVTable
  let index: [String: Int]
  /// Derived columns, each over columns and earlier ones.
  private(set) var derived: [(name: String, expression: FormulaExpression)] = []
  private(set) var derivedIndex: [String: Int] = [:]
  /// The columns and derived columns.
  public private(set) var names: [String]
  /// The columns of times, which belong to the machine of their row.
  let timeColumns: Set<String>

  /// A quantity of the table: a column, or a formula over columns.
  public struct Quantity: Sendable, Hashable {
    /// The column's name, or the formula as the user wrote it.
    public let label: String
    /// How it is computed.
    public let expression: FormulaExpression

    /// A quantity with its label.
    public init(label: String, expression: FormulaExpression) {
      (self.label, self.expression) = (label, expression)
    }

    /// The name of a column, when it is one.
    public var column: String? { if case .name(let name) = expression { name } else { nil } }
  }

  /// Derived columns are computed from each other, so their number is bounded as the depth of a formula is.
  private static let mostDefinitions = 100

  /// A file's rows. Settings of variants are columns, too.
  /// - Parameters:
  ///   - table: the file.
  ///   - definitions: `NAME=FORMULA`, over columns and earlier names.
  ///   - timeColumns: the columns of times, which belong to the machine that the row names.
  /// - Throws: `UsageError`.
  public init(_ table: CSVTable, definitions: [String] = [], timeColumns: Set<String> = []) throws {
    let table = table.withSettings
    (self.table, self.timeColumns) = (table, timeColumns)
    let columns = Dictionary(table.header.enumerated().map { ($1, $0) }) { first, _ in first }
    // A column answers to the name that it had in earlier versions, too.
    let former = FormerColumns.current.compactMapValues { columns[$0] }
    index = columns.merging(former) { own, _ in own }
    names = table.header + former.keys.filter { columns[$0] == nil }.sorted()
    guard definitions.count <= Self.mostDefinitions else {
      throw UsageError("--define: there are \(definitions.count); at most \(Self.mostDefinitions) are taken")
    }
    for definition in definitions {
      let sides = FormulaExpression.sides(of: definition)
      guard let name = sides.left.map(Self.plain), !name.isEmpty, !sides.right.trimmed.isEmpty else {
        throw UsageError("--define \(shown(definition)): write NAME=FORMULA")
      }
      guard !names.contains(name) else {
        throw UsageError("--define \(shown(definition)): \(table.file) has a column \(shown(name)) already")
      }
      let expression = try quantity(sides.right, option: "--define \(shown(name))").expression
      derivedIndex[name] = derived.count
      derived.append((name, expression))
      names.append(name)
    }
  }

  /// A name without spaces around it and without its braces.
  private static func plain(_ text: String) -> String {
    let name = text.trimmed
    guard name.count > 2, name.first == "{", name.last == "}" else { return name }
    return String(name.dropFirst().dropLast()).trimmed
  }

  /// What is said of lines that were left out, the first five by their numbers.
  package static func leftOut(_ lines: [Int], _ why: String) -> String {
    let list = lines.prefix(5).map(String.init).joined(separator: ", ") + (lines.count > 5 ? ", …" : "")
    return "\(counted(lines.count, "row")) with \(why) left out: line\(lines.count == 1 ? "" : "s") \(list)"
  }

  /// The number of rows in the file.
  public var count: Int { table.rows.count }

  // MARK: - Names

  /// The quantity that an option names: a column as it stands in the header, `{a column}`, or a formula.
  /// - Throws: `UsageError` with the option and the file.
  public func quantity(_ text: String, option: String) throws(UsageError) -> Quantity {
    let text = today(text)
    let expression = try read(option) { names throws(FitError) in
      try FormulaExpression(resolving: text, columns: names)
    }
    if case .name(let name) = expression { return Quantity(label: name, expression: expression) }
    return Quantity(label: text.trimmed, expression: expression)
  }

  /// The quantities that an option lists, with commas between.
  /// - Throws: `UsageError` as above.
  public func quantities(_ text: String, option: String) throws(UsageError) -> [Quantity] {
    try names.split(list: text).map { part throws(UsageError) in try quantity(part, option: option) }
  }

  /// The filter that an option gives.
  /// - Throws: `UsageError` as above.
  public func filter(_ text: String, option: String) throws(UsageError) -> FormulaExpression {
    let text = today(text)
    return try read(option) { names throws(FitError) in
      try FormulaExpression(filtering: text, columns: names)
    }
  }

  private func read(
    _ option: String, _ parse: ([String]) throws(FitError) -> FormulaExpression
  ) throws(UsageError) -> FormulaExpression {
    do {
      return try parse(names)
    } catch {
      // What is wrong with a name is wrong with the file; what is wrong with a formula, with the option.
      throw UsageError(error.kind == .badOption ? "\(table.file): \(error)" : "\(option): \(error)")
    }
  }

  // MARK: - Groups

  /// The rows of one group.
  public struct Group: Sendable {
    /// The value of the grouping column and, where rows of several machines were told apart, the machine; nil without
    /// either.
    public let label: String?
    /// The machine of the rows, where those of several were told apart.
    public let machine: String?
    /// The rows.
    public let data: FitData
    /// Lines left out because a cell that is needed is empty.
    public let incompleteLines: [Int]
    /// Lines left out because their weight is zero.
    public let weightlessLines: [Int]
  }

  /// What to read.
  public struct Request: Sendable {
    /// The variables.
    public var variables: [Quantity]
    /// The response.
    public var response: Quantity
    /// The weights.
    public var weights: Quantity?
    /// What is equal in rows that belong together.
    public var cluster: Quantity?
    /// What splits the rows.
    public var group: Quantity?
    /// The rows to keep.
    public var filter: FormulaExpression?

    /// Variables and response; everything else is set afterwards.
    public init(variables: [Quantity], response: Quantity) {
      self.variables = variables
      self.response = response
    }
  }

  /// The groups in order of appearance; one with the label nil when there is no grouping column. Rows of several machines
  /// are groups of their own where a time is read.
  /// - Throws: `UsageError` that names file, line and column.
  public func groups(_ request: Request) throws -> [Group] {
    let rows = try self.rows(passing: request.filter)
    guard !rows.isEmpty else {
      throw UsageError("\(table.file): no row \(table.rows.isEmpty ? "below the header" : "passes --where")")
    }
    let read = request.variables + [request.response] + [request.weights].compactMap(\.self)
    let machines = machines(of: rows, reading: read, splitBy: request.group)
    var builders: [[String?]: Builder] = [:]
    var order: [[String?]] = []
    for number in rows {
      var row = RowValues(self, row: number)
      let key = [try request.group.map { try row.text(of: $0.expression) }, machines?[number]]
      if builders[key] == nil { order.append(key) }
      try builders[key, default: Builder(variables: request.variables.count)].add(&row, request)
    }
    return try order.map { key in
      let words = key.compactMap(\.self)
      let label = words.isEmpty ? nil : words.joined(separator: ", ")
      guard let builder = builders[key] else {
        throw UsageError("\(table.file): no group \(shown(label ?? ""))")
      }
      do throws(FitError) {
        return Group(
          label: label, machine: key[1], data: try builder.data(request), incompleteLines: builder.incomplete,
          weightlessLines: builder.weightless)
      } catch {
        throw UsageError("\(table.file): \(error.description)")
      }
    }
  }

  /// The numbers of the rows that pass a filter.
  func rows(passing filter: FormulaExpression?) throws -> [Int] {
    guard let filter else { return Array(table.rows.indices) }
    return try table.rows.indices.filter { number in
      var row = RowValues(self, row: number)
      return try row.passes(filter)
    }
  }

  private struct Builder {
    var columns: [[Double]]
    var response: [Double] = []
    var weights: [Double] = []
    var clusters: [String] = []
    var lines: [Int] = []
    var incomplete: [Int] = []
    var weightless: [Int] = []

    init(variables: Int) { columns = [[Double]](repeating: [], count: variables) }

    mutating func add(_ row: inout RowValues, _ request: Request) throws {
      var x: [Double] = []
      for variable in request.variables {
        if let value = try row.value(of: variable.expression) { x.append(value) }
      }
      let y = try row.value(of: request.response.expression)
      var weight: Double? = 1
      if let weights = request.weights { weight = try row.weight(weights) }
      guard let y, let weight, x.count == columns.count else { return incomplete.append(row.line) }
      guard weight > 0 else { return weightless.append(row.line) }
      for j in x.indices { columns[j].append(x[j]) }
      response.append(y)
      weights.append(weight)
      if let cluster = request.cluster { clusters.append(try row.text(of: cluster.expression)) }
      lines.append(row.line)
    }

    func data(_ request: Request) throws(FitError) -> FitData {
      try FitData(
        columns: Array(zip(request.variables.map(\.label), columns)), response: response,
        weights: request.weights == nil ? nil : weights, clusters: request.cluster == nil ? nil : clusters,
        rowNumbers: lines, rowWord: "line")
    }
  }
}
