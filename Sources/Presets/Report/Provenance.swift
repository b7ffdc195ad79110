import Basics
import Figures
import Foundation
import Records

/// Where results come from, for the end of a report: machine, versions, text, preset.
package struct Provenance {
  /// `environment.json`, or null.
  let environment: JSONValue
  /// The preset's name.
  package let name: String
  /// The machines that the rows name; the record describes but one.
  private let machines: MachineList

  /// Reads the record beside results.
  /// - Parameters:
  ///   - folder: the folder of the results.
  ///   - fallbackName: the preset's name where the record has none.
  ///   - places: where the rows were made.
  /// - Throws: `UsageError` when it is not JSON.
  package init(folder: String, fallbackName: String, places: [RowPlace] = []) throws(UsageError) {
    let file = folder + "/environment.json"
    if let text = try? String(contentsOfFile: file, encoding: .utf8) {
      environment = try JSONValue(parsing: text, file: file)
    } else {
      environment = .null
    }
    name = environment["preset"].stringValue ?? fallbackName
    machines = MachineList(places, sessions: environment["sessions"].arrayValue)
  }

  /// A field of the preset's text, when it stands on the top level.
  func presetField(_ key: String) -> String? {
    guard let text = environment["preset_text"].stringValue,
      let node = try? PresetNode.parse(text, place: { "preset:\($0)" })
    else { return nil }
    return node[key]?.text.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// The head of a page: title, question, and where it comes from in one line.
  package func head(rows: String, startedAt: [String]) -> String {
    var body = "<h1>\(html(title))</h1>\n"
    if let question = presetField("question") { body += "<p class=\"lead\">\(html(question))</p>\n" }
    let days = Set(startedAt.compactMap { $0.isEmpty ? nil : String($0.prefix(10)) }).sorted()
    let parts =
      [
        "preset \(name)", rows, days.count > 1 ? "\(days[0]) to \(days[days.count - 1])" : days.first,
      ] + (machines.areSeveral ? ["\(machines.machines.count) machines"] : machineInShort)
    return body + "<p class=\"meta\">\(html(parts.compactMap(\.self).joined(separator: " · ")))</p>\n"
  }

  /// The one machine in a few words.
  private var machineInShort: [String?] {
    let machine = environment["machine"]
    return [
      machine["processor"].stringValue,
      machine["processors"].numberValue.map { "\(Quantity.whole($0)) processors" },
      environment["isa"].stringValue,
      environment["peak_gflops"].numberValue.map { "peak \(Quantity.significant($0, 3)) GFLOP/s" },
    ]
  }

  /// The one machine, item by item.
  private var machineInFull: [(String, String)] {
    let machine = environment["machine"]
    let items: [(String, String?)] = [
      ("processor", machine["processor"].stringValue),
      ("processors", machine["processors"].numberValue.map(Quantity.whole)),
      ("memory", machine["memory_bytes"].numberValue.map { Quantity.describe(bytes: $0) }),
      ("system", machine["system"].stringValue), ("instruction set", environment["isa"].stringValue),
      (
        "measured peak",
        environment["peak_gflops"].numberValue.map { "\(Quantity.significant($0, 3)) GFLOP/s" }
      ),
      (
        "measured bandwidth",
        environment["bandwidth_gb_per_s"].numberValue.map { "\(Quantity.significant($0, 3)) GB/s" }
      ),
    ]
    return items.compactMap { label, value in value.map { (label, $0) } }
  }

  /// The preset's title, else its name.
  package var title: String { presetField("title") ?? name }

  /// Machine or machines, versions, text and preset.
  package var section: String {
    var text = "<h2>Where the numbers come from</h2>\n"
    var items: [(String, String)] = machines.areSeveral ? [] : machineInFull
    func add(_ label: String, _ value: String?) { if let value { items.append((label, value)) } }
    if machines.areSeveral {
      text += machines.table
    } else {
      add("commit", environment["commit"].stringValue)
    }
    for member in environment["versions"].members { add(member.key, member.value.stringValue) }
    let input = environment["text"]
    add(
      "text",
      input["origin"].stringValue.map { origin in
        "\(origin), \(Quantity.whole(input["bytes"].numberValue ?? 0)) bytes, hash \(input["hash"].stringValue ?? "–")"
      })
    let sessions = environment["sessions"].arrayValue
    add("sessions", sessions.isEmpty ? nil : "\(sessions.count)")
    add("preset hash", environment["preset_hash"].stringValue)
    text += HTML.list(items)
    text +=
      "<h3>To make them again</h3>\n<pre>attnlab run \(html(name)) --fresh\nattnlab report results/\(html(name))</pre>\n"
    if let preset = environment["preset_text"].stringValue {
      text += HTML.folded("The preset", "<pre>\(html(preset))</pre>")
    }
    return text
  }

  /// A whole page.
  package func page(_ body: String, source: String) -> String {
    HTML.page(
      title: "\(title) · attnlab",
      body: body
        + "<footer>Written by attnlab \(LabVersion.current). The numbers are in \(source) beside this page.</footer>"
    )
  }
}
