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
  /// - Throws: `UsageError` when it cannot be read, or is no JSON.
  package init(folder: String, fallbackName: String, places: [RowPlace] = []) throws(UsageError) {
    environment = try RunFolder.record(in: folder) ?? .null
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
        "\(isOfTraining ? "training" : "preset") \(name)", rows,
        days.count > 1 ? "\(days[0]) to \(days[days.count - 1])" : days.first,
      ] + (machines.areSeveral ? ["\(machines.machines.count) machines"] : machineInShort)
    return body + "<p class=\"meta\">\(html(parts.compactMap(\.self).joined(separator: " · ")))</p>\n"
  }

  /// Whether `attnlab train` made the results.
  private var isOfTraining: Bool { environment["training_text"].stringValue != nil }

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

  /// Machine or machines, versions, text and preset, the commands that make the results again, and the results once more for programs.
  /// - Parameters:
  ///   - folder: where they stand.
  ///   - tables: what stands there, by file.
  func section(folder: String, tables: [(file: String, text: String)]) -> String {
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
    text += "<h3>To make them again</h3>\n<pre>\(html(commands(folder).joined(separator: "\n")))</pre>\n"
    if let preset = environment["preset_text"].stringValue {
      text += HTML.folded("The preset", "<pre>\(html(preset))</pre>")
    }
    return text + HTML.data(dataSet(tables))
  }

  /// The commands that make results and page again: of a preset its run, of a training its settings.
  func commands(_ folder: String) -> [String] {
    let report = "attnlab report \(shellQuoted(folder))"
    if let settings = environment["training_text"].stringValue {
      return Self.trainCommands(settings.split(whereSeparator: \.isNewline)) + [report]
    }
    let preset = environment["preset_file"].stringValue ?? name
    return ["attnlab run \(shellQuoted(preset)) --fresh", report]
  }

  /// The commands that train with settings, each `path: value`: of a training that was extended one for every end that it
  /// had.
  private static func trainCommands(_ settings: [Substring]) -> [String] {
    var task = "TASK", ends: [String] = [], steps: String?
    var options: [String] = []
    for line in settings {
      guard let colon = line.firstRange(of: ": ") else { continue }
      let path = String(line.prefix(upTo: colon.lowerBound))
      let value = String(line.suffix(from: colon.upperBound))
      switch path {
      case "task.id": task = value
      case "seed": options.append("--seed " + shellQuoted(value))
      case "training.steps": steps = value
      case formerEnds: ends = value.split(separator: ";").map(String.init)
      default: options.append("--set " + shellQuoted("\(path)=\(value)"))
      }
    }
    let command = (["attnlab train", shellQuoted(task)] + options).joined(separator: " ")
    return (ends + [steps].compactMap(\.self)).enumerated().map { number, end in
      "\(command) --steps \(end)\(number > 0 ? " --extend" : "") --checkpoint FOLDER"
    }
  }

  /// The line of a training's record that says at which steps its schedule was given another end, separated by `;`.
  package static let formerEnds = "extended_from"

  /// What was run, and where, item by item.
  var facts: [(String, String)] {
    var items: [(String, String?)] = [
      ("preset", environment["preset"].stringValue),
      ("commit", machines.areSeveral ? nil : environment["commit"].stringValue),
    ]
    for machine in machines.areSeveral ? machines.machines : [] {
      let commits = machine.commits.joined(separator: ", ")
      items.append(("machine", "\(machine.name): \(counted(machine.rows, "row")), commit \(commits)"))
    }
    for (name, value) in machines.areSeveral ? [] : machineInFull { items.append((name, value)) }
    items += environment["versions"].members.map { ($0.key, $0.value.stringValue) }
    let input = environment["text"]
    items.append(
      ("text", input["origin"].stringValue.map { "\($0), hash \(input["hash"].stringValue ?? "–")" }))
    let sessions = environment["sessions"].arrayValue
    items.append(("begun", sessions.first?["started_at"].stringValue))
    return items.compactMap { name, value in value.map { (name, $0) } }
  }

  /// The results as a data set of schema.org.
  private func dataSet(_ tables: [(file: String, text: String)]) -> JSONValue {
    let files = tables.map { table in
      JSONValue.object([
        "@type": .string("DataDownload"), "name": .string(table.file), "contentUrl": .string(table.file),
        "encodingFormat": .string("text/csv"), "text": .string(table.text),
      ])
    }
    return .object([
      "@context": .string("https://schema.org"), "@type": .string("Dataset"), "name": .string(title),
      "description": .string(presetField("question") ?? title),
      "creator": .object([
        "@type": .string("SoftwareApplication"), "name": .string("attnlab"),
        "softwareVersion": .string(environment["commit"].stringValue ?? LabVersion.current),
      ]),
      "distribution": .array(files),
    ])
  }

  /// A whole page.
  /// - Parameters:
  ///   - bodies: a body for each folder.
  ///   - title: the title of the window.
  ///   - source: the files that hold the numbers.
  static func page(_ bodies: [String], titles: [String], source: String) -> String {
    // The list stands behind the head of each folder.
    var parts: [String] = []
    for (number, one) in bodies.enumerated() {
      var (contents, body) = HTML.contents(one, from: 1000 * number)
      if let place = body.firstRange(of: "<h2 ") { body.insert(contentsOf: contents, at: place.lowerBound) }
      parts.append(body)
    }
    let body =
      titles.count > 1
      ? directory(titles)
        + parts.enumerated().map { number, part in
          "<div id=\"folder-\(number)\">\(part)</div>"
        }.joined(separator: "<hr>\n") : parts.joined()
    return HTML.page(
      title: "\(titles.joined(separator: "; ")) · attnlab",
      body: HTML.marks + body
        + "<footer>Written by attnlab \(LabVersion.current). The numbers are in \(html(source)) beside this page.</footer>"
    )
  }

  /// The folders of a page with several.
  private static func directory(_ titles: [String]) -> String {
    let items = titles.enumerated().map { "<li><a href=\"#folder-\($0)\">\(html($1))</a></li>" }
    return "<nav aria-label=\"Results\"><ul>\(items.joined(separator: "\n"))</ul></nav>\n"
  }
}
