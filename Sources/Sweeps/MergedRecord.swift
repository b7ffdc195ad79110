import Basics
import Presets
import Records

/// What lies beside the tables of several folders: the lists of their cells, and where their results come from.
struct MergedRecord {
  /// `cells.csv`, by number.
  let entries: [CellEntry]
  /// `environment.json`; `nil`: no folder has one.
  let environment: JSONValue?

  /// Puts the records of folders together.
  /// - Throws: `UsageError` that names two files which are of different sweeps.
  init(_ folders: [SweepFolder]) throws(UsageError) {
    try Self.refuseDifferentPresets(folders)
    var seen: Set<[String]> = []
    let all = folders.flatMap(\.entries).filter { seen.insert(["\($0.number)", $0.cellID]).inserted }
    entries = all.stablySorted(by: \.number)
    environment = Self.environment(folders.compactMap(\.environment))
  }

  private static func refuseDifferentPresets(_ folders: [SweepFolder]) throws(UsageError) {
    let hashes = folders.compactMap { folder in
      folder.environment?["preset_hash"].stringValue.map { (folder: folder.path, hash: $0) }
    }
    if let first = hashes.first, let other = hashes.first(where: { $0.hash != first.hash }) {
      throw UsageError(
        "\(first.folder)/environment.json and \(other.folder)/environment.json: preset_hash: \(first.hash) there, "
          + "\(other.hash) here: results of different presets or --set flags do not belong into one folder")
    }
    let totals = folders.compactMap { folder in
      folder.entries.first.map { (folder: folder.path, cells: $0.cells) }
    }
    if let first = totals.first, let other = totals.first(where: { $0.cells != first.cells }) {
      let files = [first, other].map { "\($0.folder)/\(CellEntry.table)" }
      throw UsageError(
        "\(files[0]) and \(files[1]): column cells: \(first.cells) there, \(other.cells) here: a list such as "
          + "threads: [2, all] has other cells on other machines; write numbers in place of all")
    }
  }

  /// The record that began last, with the sessions of all.
  private static func environment(_ records: [JSONValue]) -> JSONValue? {
    func start(_ session: JSONValue) -> String { session["started_at"].stringValue ?? "" }
    func begun(_ record: JSONValue) -> String { record["sessions"].arrayValue.map(start).max() ?? "" }
    guard let base = records.max(by: { (begun($0), $0.compact) < (begun($1), $1.compact) }) else {
      return nil
    }
    var seen: Set<String> = []
    let sessions = records.flatMap { $0["sessions"].arrayValue }.filter {
      seen.insert($0.compact).inserted
    }.sorted { (start($0), $0.compact) < (start($1), $1.compact) }
    return .object(
      base.members.map { $0.key == "sessions" ? .init(key: "sessions", value: .array(sessions)) : $0 })
  }
}
