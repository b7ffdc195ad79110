import Basics
import Figures
import Records

/// Where a row was made, as the row says.
package struct RowPlace: Hashable, Sendable {
  /// The kind of machine.
  package let machine: String
  /// The computer.
  package let host: String
  /// The commit of the sources.
  package let commit: String

  /// The place of a row.
  package init(_ row: some Traceable) { (machine, host, commit) = (row.machine, row.host, row.commit) }
}

/// The machines of a report's rows, in the order in which the rows name them. Rows that name none are not counted: they
/// are from before rows said it, and the record beside them speaks for them.
struct MachineList {
  /// A kind of machine.
  struct Machine {
    /// Its name.
    let name: String
    /// How many rows were made on it.
    let rows: Int
    /// The computers of that kind.
    let hosts: [String]
    /// The commits that ran on it.
    let commits: [String]
    /// The best peak of one precision that a session there measured, in GFLOP/s.
    let peak: Double?
    /// The best bandwidth that a session there measured, in GB/s.
    let bandwidth: Double?
  }

  /// The machines.
  let machines: [Machine]

  /// Sorts places by their machine.
  /// - Parameters:
  ///   - places: the places of the rows.
  ///   - sessions: the sessions of the record, which have the peaks.
  init(_ places: [RowPlace], sessions: [JSONValue]) {
    let groups = places.filter { !$0.machine.isEmpty }.grouped(by: \.machine)
    machines = groups.map { name, places in
      let peaks = sessions.filter { $0["machine"].stringValue == name }.flatMap { $0["peaks"].arrayValue }
        .filter { $0["precision"].stringValue ?? "float32" == "float32" }
      return Machine(
        name: name, rows: places.count, hosts: Self.distinct(places.map(\.host)),
        commits: Self.distinct(places.map(\.commit)),
        peak: peaks.compactMap { $0["peak_gflops"].numberValue }.max(),
        bandwidth: peaks.compactMap { $0["bandwidth_gb_per_s"].numberValue }.max())
    }
  }

  private static func distinct(_ names: [String]) -> [String] {
    names.filter { !$0.isEmpty }.grouped { $0 }.map(\.key)
  }

  /// Whether the results of more than one kind of machine are in the report.
  var areSeveral: Bool { machines.count > 1 }

  /// A line a machine.
  var table: String {
    HTML.table(
      ["machine", "rows", "hosts", "commits", "peak, GFLOP/s", "bandwidth, GB/s"],
      machines.map { machine in
        [
          machine.name, "\(machine.rows)", machine.hosts.joined(separator: ", "),
          machine.commits.joined(separator: ", "), machine.peak.map { Quantity.significant($0, 3) } ?? "–",
          machine.bandwidth.map { Quantity.significant($0, 3) } ?? "–",
        ]
      }, caption: "Times of different machines are never compared with each other.")
  }
}
