import Foundation

extension MeasurementRow {
  /// Reads named fields; columns that are missing stay empty, columns that are not ours are ignored.
  /// - Throws: `UsageError` naming the place and the column of a field of the wrong type or an impossible value.
  public init(_ field: (String) -> String?, place: String) throws(UsageError) {
    self.init()
    func text(_ column: String) -> String { field(column) ?? "" }
    func parse<T>(_ column: String, _ kind: String, _ convert: (String) -> T?) throws(UsageError) -> T? {
      guard let text = field(column), !text.isEmpty else { return nil }
      if let value = convert(text) { return value }
      throw UsageError("\(place): column \(column): \(text) is not \(kind)")
    }
    func int(_ column: String) throws(UsageError) -> Int? {
      try parse(column, "a whole number of at least 0") { text in
        let value =
          Int(text) ?? Double(text).flatMap { $0 == $0.rounded() && abs($0) < 0x1p62 ? Int($0) : nil }
        return value.flatMap { $0 >= 0 ? $0 : nil }
      }
    }
    // What is measured is finite and not negative, and time passes.
    func number(_ column: String) throws(UsageError) -> Double? {
      try parse(column, "a number of at least 0") { text in
        Double(text).flatMap { $0 >= 0 && $0.isFinite ? $0 : nil }
      }
    }
    func seconds(_ column: String) throws(UsageError) -> Double? {
      try parse(column, "a number above 0") { text in
        Double(text).flatMap { $0 > 0 && $0.isFinite ? $0 : nil }
      }
    }
    (preset, experiment, variant) = (text("preset"), text("experiment"), text("variant"))
    (configuration, pass, isa) = (text("configuration"), text("pass"), text("isa"))
    (input, status, reason) = (text("input"), text("status"), text("reason"))
    (cellID, startedAt) = (text("cell_id"), text("started_at"))
    batch = try int("batch")
    queryHeads = try int("query_heads")
    keyHeads = try int("key_heads")
    queryLength = try int("query_length")
    keyLength = try int("key_length")
    headDim = try int("head_dim")
    valueDim = try int("value_dim")
    causal = try parse("causal", "true or false") {
      ["true", "1"].contains($0.lowercased()) ? true : ["false", "0"].contains($0.lowercased()) ? false : nil
    }
    threads = try int("threads")
    seed = try parse("seed", "a whole number") { UInt64($0) }
    repeats = try int("repeats")
    secondsMedian = try seconds("seconds_median")
    secondsP20 = try seconds("seconds_p20")
    secondsP80 = try seconds("seconds_p80")
    flops = try number("flops")
    gflops = try number("gflops")
    fractionOfPeak = try number("fraction_of_peak")
    density = try number("density")
    planSeconds = try number("plan_seconds")
    planBytes = try int("plan_bytes")
    workspaceBytes = try int("workspace_bytes")
    peakRSSBytes = try int("peak_rss_bytes")
    predictedBytes = try number("predicted_bytes")
    errorRel = try number("error_rel")
    memoryBytes = try int("memory_bytes")
    tileWaste = try number("tile_waste")
    if !text("precision").isEmpty { precision = text("precision") }
    errorOracleRel = try number("error_oracle_rel")
    guard status != "ok" || secondsMedian != nil else {
      throw UsageError("\(place): column seconds_median: a row whose status is ok has a time")
    }
  }

  /// Reads all rows of a results file.
  /// - Throws: `UsageError` when a column that identifies a row is missing or a field has the wrong type.
  public static func read(_ path: String) throws(UsageError) -> [MeasurementRow] {
    let table = try CSVTable(contentsOf: path)
    if isHeader(table.header) { try table.requireWhole() }
    return try read(table)
  }

  /// Whether a header is that of a `measurements.csv`.
  public static func isHeader(_ header: [String]) -> Bool { identifying.allSatisfy(header.contains) }

  private static let identifying = ["variant", "pass", "query_length", "status", "seconds_median"]

  /// Reads all rows of a table.
  /// - Throws: `UsageError` as above.
  public static func read(_ table: CSVTable) throws(UsageError) -> [MeasurementRow] {
    for column in identifying where !table.header.contains(column) {
      throw UsageError("\(table.file): no column \(column): this is no measurements.csv")
    }
    let positions = Dictionary(uniqueKeysWithValues: table.header.enumerated().map { ($1, $0) })
    var rows: [MeasurementRow] = []
    for (row, line) in zip(table.rows, table.lines) {
      rows.append(
        try MeasurementRow({ positions[$0].map { row[$0] } }, place: "\(table.file):\(line)"))
    }
    return rows
  }

  /// Reads the object that `attnlab measure --json` prints.
  /// - Throws: `UsageError` when it is none.
  public static func read(json: String) throws(UsageError) -> MeasurementRow {
    guard let object = try? JSONDecoder().decode([String: JSONCell].self, from: Data(json.utf8)) else {
      throw UsageError("measure: its output is no JSON object")
    }
    return try MeasurementRow({ column in object[column]?.text }, place: "measure")
  }
}

/// A value of a row's JSON object, as the CSV writes it. JSONDecoder reads a number to its last bit; JSONSerialization
/// may be one unit off.
private struct JSONCell: Decodable {
  let text: String?

  init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      text = nil
    } else if let flag = try? value.decode(Bool.self) {
      text = flag ? "true" : "false"
    } else if let whole = try? value.decode(Int.self) {
      text = "\(whole)"
    } else if let number = try? value.decode(Double.self) {
      text = "\(number)"
    } else {
      text = try value.decode(String.self)
    }
  }
}
