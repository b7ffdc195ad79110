import Basics

/// The rows of one fit: named variables, a response, and optionally weights and clusters.
///
/// Every value is finite; which rows of a table became these is kept in `rowNumbers`, so that a warning
/// about an outlier names the line of the user's own file.
public struct FitData: Sendable {
  /// Names of the variables, in the order in which the form takes them.
  public let names: [String]
  /// One array per variable, each as long as `response`.
  public let columns: [[Double]]
  /// What is being explained: loss, seconds, bytes.
  public let response: [Double]
  /// Weights of the squared residuals, or nil for equal ones.
  public let weights: [Double]?
  /// The cluster (run, machine, seed) of each row, numbered from 0, or nil when rows are independent.
  public let clusters: [Int]?
  /// The number by which the user knows each row; 1, 2, … unless given.
  public let rowNumbers: [Int]

  /// What a row is called in messages: `row`, or `line` when the numbers are lines of a file.
  public let rowWord: String

  /// The number of rows.
  public var count: Int { response.count }

  /// Data from parallel columns.
  ///
  /// - Throws: `FitError` when lengths differ, a name occurs twice, a value is not finite, or a weight is
  ///   negative; the message names the column and the row.
  public init(
    columns: [(String, [Double])], response: [Double], weights: [Double]? = nil, clusters: [String]? = nil,
    rowNumbers: [Int]? = nil, rowWord: String = "row"
  ) throws(FitError) {
    let numbers = rowNumbers ?? Array(1..<(response.count + 1))
    guard numbers.count == response.count else {
      throw FitError(.badData, "\(numbers.count) row numbers for \(response.count) rows")
    }
    var seen: Set<String> = []
    for (name, column) in columns {
      guard seen.insert(name).inserted else {
        throw FitError(.badData, "column '\(shown(name))' is given twice")
      }
      guard column.count == response.count else {
        throw FitError(
          .badData, "column '\(shown(name))' has \(column.count) rows, the response has \(response.count)")
      }
      if let bad = column.firstIndex(where: { !$0.isFinite }) {
        throw FitError(
          .badData,
          "column '\(shown(name))', \(rowWord) \(numbers[bad]): \(column[bad]) is not a finite number")
      }
    }
    if let bad = response.firstIndex(where: { !$0.isFinite }) {
      throw FitError(
        .badData, "response, \(rowWord) \(numbers[bad]): \(response[bad]) is not a finite number")
    }
    if let weights {
      guard weights.count == response.count else {
        throw FitError(.badData, "\(weights.count) weights for \(response.count) rows")
      }
      if let bad = weights.firstIndex(where: { !($0 > 0 && $0.isFinite) }) {
        throw FitError(
          .badData,
          "weight, \(rowWord) \(numbers[bad]): \(weights[bad]) is not a positive, finite number; leave rows of weight 0 out"
        )
      }
    }
    if let clusters, clusters.count != response.count {
      throw FitError(.badData, "\(clusters.count) cluster labels for \(response.count) rows")
    }
    self.names = columns.map(\.0)
    self.columns = columns.map(\.1)
    self.response = response
    self.weights = weights
    self.rowNumbers = numbers
    self.rowWord = rowWord
    if let clusters {
      var index: [String: Int] = [:]
      self.clusters = clusters.map { label in
        if let known = index[label] { return known }
        index[label] = index.count
        return index.count - 1
      }
    } else {
      self.clusters = nil
    }
  }

  /// Data of one variable.
  public init(x: [Double], y: [Double], name: String = "x") throws(FitError) {
    try self.init(columns: [(name, x)], response: y)
  }

  /// The same data with rows kept, in the order given; an index may occur more than once.
  func rows(_ indices: [Int]) -> FitData { FitData(self, indices) }

  /// The same rows with other responses.
  init(_ data: FitData, response: [Double]) {
    names = data.names
    rowWord = data.rowWord
    columns = data.columns
    self.response = response
    weights = data.weights
    clusters = data.clusters
    rowNumbers = data.rowNumbers
  }

  private init(_ data: FitData, _ indices: [Int]) {
    names = data.names
    rowWord = data.rowWord
    columns = data.columns.map { column in indices.map { column[$0] } }
    response = indices.map { data.response[$0] }
    weights = data.weights.map { weights in indices.map { weights[$0] } }
    clusters = data.clusters.map { clusters in indices.map { clusters[$0] } }
    rowNumbers = indices.map { data.rowNumbers[$0] }
  }
}

/// The variables of a fit with their logarithms, which power laws need at every step.
public struct Columns: Sendable {
  /// One array per variable.
  public let values: [[Double]]
  /// The natural logarithms of `values`; NaN where a value is not positive.
  public let logs: [[Double]]
  /// The number of rows.
  public let count: Int

  /// Columns of equal length.
  public init(_ values: [[Double]], count: Int? = nil) {
    self.values = values
    self.logs = values.map { column in column.map { $0 > 0 ? logarithm($0) : .nan } }
    self.count = count ?? values.first?.count ?? 0
  }
}
