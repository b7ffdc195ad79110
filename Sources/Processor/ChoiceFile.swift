import Basics

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What `attnlab bench --tune` keeps: choices by processor, so that machines which share a home folder share the file.
///
/// `{"version": 1, "processors": [{"processor": …, "isa": …, "caches": […], "tuned_at": …, "choices": {…}}]}`. It is written whole or not
/// at all.
public enum ChoiceFile {
  /// The version that is written and read.
  public static let version = 1

  /// `$XDG_CONFIG_HOME/attnlab/processor.json`, or `~/.config/attnlab/processor.json`; `nil`: there is no home.
  public static var path: String? {
    path(configuration: variable("XDG_CONFIG_HOME"), home: variable("HOME"))
  }

  /// The same of an environment; a configuration folder that is not absolute is ignored, as its specification demands.
  static func path(configuration: String?, home: String?) -> String? {
    if let configuration, configuration.hasPrefix("/") { return configuration + "/attnlab/processor.json" }
    return home.flatMap { $0.hasPrefix("/") ? $0 + "/.config/attnlab/processor.json" : nil }
  }

  private static func variable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// The choices for a processor.
  /// - Returns: `nil` where there is no file.
  /// - Throws: `UsageError`, one line: it cannot be read, is not such a file, or has nothing of this processor.
  public static func read(_ path: String, for processor: ProcessorDescription) throws(UsageError)
    -> ProcessorChoices?
  {
    guard exists(path) else { return nil }
    let entries = try entries(path)
    guard let own = entries.first(where: { names($0, processor) }) else {
      throw UsageError(
        "\(path): it has choices of another processor, not of this one (\(processor)), and is not used; attnlab bench --tune adds them"
      )
    }
    return try choices(own, path, processor)
  }

  /// Keeps choices for a processor, in place of those that were there; those of others stay.
  /// - Throws: `UsageError` when the file that is there is not such a file; `FileFailure` when it cannot be written.
  public static func write(
    _ choices: ProcessorChoices, for processor: ProcessorDescription, to path: String,
    at time: String = Timestamp.now()
  ) throws {
    let others = exists(path) ? try entries(path).filter { !names($0, processor) } : []
    var values = ProcessorChoice.all.map { JSONValue.Member(key: $0.name, value: .int(choices[$0])) }
    if let road = choices.bfloat16Road {
      values.append(.init(key: ProcessorChoices.roadName, value: .string(road.rawValue)))
    }
    let own = JSONValue.object([
      "processor": .string(processor.name), "isa": .string(processor.instructionSet.rawValue),
      "cache_bytes": caches(processor), "tuned_at": .string(time), "choices": .object(values),
    ])
    let text =
      JSONValue.object(["version": .int(version), "processors": .array(others + [own])]).pretty + "\n"
    try Folder.create(of: path)
    try AtomicFile.write(Array(text.utf8), to: path)
  }

  /// Makes sure that choices can be kept in a file: that there is none, or one of choices.
  /// - Throws: `UsageError`.
  public static func check(_ path: String) throws(UsageError) {
    if exists(path) { _ = try entries(path) }
  }

  /// When the choices for a processor were measured, as the file says.
  public static func time(_ path: String, for processor: ProcessorDescription) -> String? {
    (try? entries(path))?.first { names($0, processor) }?["tuned_at"].stringValue
  }

  private static func exists(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0
  }

  private static func entries(_ path: String) throws(UsageError) -> [JSONValue] {
    let remedy = "it is not used; remove it, and attnlab bench --tune makes it anew"
    let json: JSONValue
    do { json = try JSONValue(parsing: try InputFile.bytes(path, atMost: InputFile.largestText)) } catch let
      failure as FileFailure
    {
      throw UsageError("\(failure); \(remedy)")
    } catch {
      throw UsageError("\(path): it is no JSON (\(error)); \(remedy)")
    }
    guard let found = json["version"].wholeValue, !json["processors"].arrayValue.isEmpty else {
      throw UsageError("\(path): it is no file of choices; \(remedy)")
    }
    guard found == version else {
      throw UsageError("\(path): it has version \(found), this program reads version \(version); \(remedy)")
    }
    return json["processors"].arrayValue
  }

  private static func caches(_ processor: ProcessorDescription) -> JSONValue {
    .array([processor.caches.first, processor.caches.second, processor.caches.last].map { .number($0) })
  }

  private static func names(_ entry: JSONValue, _ processor: ProcessorDescription) -> Bool {
    entry["processor"].stringValue == processor.name
      && entry["isa"].stringValue == processor.instructionSet.rawValue
      && entry["cache_bytes"] == caches(processor)
  }

  private static func choices(
    _ entry: JSONValue, _ path: String, _ processor: ProcessorDescription
  ) throws(UsageError) -> ProcessorChoices {
    let words = entry["choices"].members.map { member in
      member.value.wholeValue.map { "\(member.key)=\($0)" }
        ?? "\(member.key)=\(member.value.stringValue ?? "?")"
    }
    do {
      return try ProcessorChoices(parsing: (["derived"] + words).joined(separator: ","), on: processor)
    } catch {
      throw UsageError("\(path): \(error); it is not used; remove it, and attnlab bench --tune makes it anew")
    }
  }
}
