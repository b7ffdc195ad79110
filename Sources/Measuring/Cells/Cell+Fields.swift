import AttentionCore
import Basics
import Records
import Settings
import Tensors

extension Cell: Record {
  /// A cell of no variant, to be filled in.
  public init() { self.init(variant: "", queryLength: 1) }

  /// What a cell is, in the order of its id: presets, `--set`, the flags of `attnlab measure`, the columns of the same
  /// name and the JSON that a cell's process gets derive from it.
  public static let schema: [Field<Cell>] = place + (what + shape + means).map(\.required)

  private static let place: [Field<Cell>] = [
    .field("preset", \.preset, .text, .record, "the preset"),
    .field("experiment", \.experiment, .text, .contender, phrase: "%", "the experiment of the preset"),
  ]

  private static let what: [Field<Cell>] = [
    .field("variant", \.variant, .text, .contender, phrase: "%", "the variant; see attnlab list"),
    .settings,
    .field("pass", \.pass, .choice, .shape, key: "pass", phrase: "%", "what is timed"),
  ]

  private static let shape: [Field<Cell>] = [
    .field(
      "batch", \.batch, .integer(1...65536), .shape, unit: "sequences", key: "batch", phrase: "batch %",
      "sequences"),
    .field(
      "query_heads", \.heads, .integer(1...4096), .shape, key: "heads", phrase: "% heads", "heads of q"),
    .field(
      "key_heads", \.keyHeads, .integer(1...4096), .shape, key: "key_heads", phrase: "% key heads",
      "heads of k and v, a divisor of the heads; by default the heads"),
    .field(
      "query_length", \.queryLength, .integer(1...(1 << 30)), .length, unit: "tokens", key: "n",
      phrase: "n=%", "rows of q; when decoding, of the cache"),
    .field(
      "key_length", \.keyLength, .integer(1...(1 << 30)), .length, unit: "tokens", key: "key_length",
      phrase: "keys=%", "rows of k and v; by default n"),
    .field(
      "head_dim", \.headDim, .integer(1...4096), .shape, key: "head_dim", phrase: "head dim %",
      "the last axis of q and k"),
    .field(
      "value_dim", \.valueDim, .integer(1...4096), .shape, key: "value_dim", phrase: "value dim %",
      "the last axis of v; by default the head dim"),
    .field(
      "causal", \.isCausal, .flag, .shape, key: "causal", phrase: "causal",
      "whether a query sees only its past"),
  ]

  private static let means: [Field<Cell>] = [
    .field(
      "ranks", \.ranks, .integer(1...4096), .shape, unit: "processes", key: "ranks", phrase: "% ranks",
      "processes that share the sequence; more than 1 needs a program with MPI"),
    .field(
      "threads", \.threads, .integer(1...1024), .shape, key: "threads", phrase: "% threads",
      parse: allThreads, "threads; all: as many as there are processors"),
    .field(
      "isa", \.instructionSet, .words(InstructionSet.allCases.map(\.rawValue)), .contender, key: "isa",
      phrase: "%", "the instruction set; by default the best"),
    .field(
      "input", \.input, .input, .contender, key: "input", phrase: "%", parse: inputs,
      "where q, k and v come from"),
    .field(
      "seed", \.seed, .seed.described("a whole number of at least 0"), .contender, key: "seed",
      phrase: "seed %", "the seed of the inputs and of the variant's own draws"),
    .field(
      "precision", \.precision, .choice, .contender, key: "precision", phrase: "%",
      "how q, k and v are stored"),
    .field(
      "warmup", \.warmup, .integer(0...1000), .record, unit: "passes", key: "warmup",
      "passes before the first timed one"),
    .field(
      "most_repeats", \.repeats, .integer(1...100_000), .record, unit: "passes", key: "repeats",
      "the most timed passes"),
    .field(
      "budget_seconds", \.budgetSeconds, .duration, .record, unit: "s", key: "budget", parse: budget,
      "once three passes and this much time are measured, no more passes"),
    .field(
      "quiet", \.quiet, .fraction, .record, key: "quiet",
      "repeat passes unless multiply-adds beside them have this share of the peak, for at most five times the budget; 0: all count"
    ),
  ]

  /// Fields that came after the first results: at their default they leave no mark in a cell's id, so that the cells of
  /// earlier runs keep their names.
  private static let laterFields: Set = ["precision", "ranks"]

  /// A name that depends on what is measured, and on nothing else: not on its place in the preset, nor on the preset's
  /// name, nor on how often it is repeated. The 64-bit FNV-1a hash of the identity.
  public var id: String { id { $0 } }

  private func id(settings spell: (String) -> String) -> String {
    let marks = Cell.marks.compactMap { field, unmarked -> String? in
      let text = field.text(self)
      return text == unmarked ? nil : field.name == Cell.settingsColumn ? spell(text) : text
    }
    return Fingerprint.of(marks.joined(separator: "|"))
  }

  /// The fields of an id, and the values that leave no mark.
  private static let marks = identity.map { field in
    (field, laterFields.contains(field.name) ? field.text(Cell()) : nil)
  }

  /// The ids that it had while settings were spelt in camelCase, and while an experiment without a name took the preset's.
  public var formerIDs: [String] {
    var cell = self
    if experiment.isEmpty { cell.experiment = preset }
    let camel = Cell.settingsText(settings, Spelling.former(_:), Spelling.former(value:))
    let own = id, ids = [id { _ in camel }, cell.id, cell.id { _ in camel }]
    return Array(Set(ids).subtracting([own])).sorted()
  }

  /// The column of the variant's settings.
  fileprivate static let settingsColumn = "configuration"

  /// `name=value` separated by `;`.
  fileprivate static func settingsText(
    _ settings: [String: ParameterValue], _ spell: (String) -> String, _ value: (String) -> String
  ) -> String {
    // Sorted as they are spelt: earlier ids were, too.
    settings.map { (spell(Spelling.today($0.key)), value(Spelling.today(value: "\($0.value)"))) }
      .sorted { $0.0 < $1.0 }.map { "\($0)=\($1)" }.joined(separator: ";")
  }

  /// Fills in what follows from other fields where it was not given, by the keys of presets: decoding asks with one new
  /// query for a cache of n keys, and a cache is the past.
  public mutating func complete(given: Set<String>) {
    if !given.contains("key_length") { keyLength = queryLength }
    if !given.contains("key_heads") { keyHeads = heads }
    if !given.contains("value_dim") { valueDim = headDim }
    if pass == .decode { (queryLength, isCausal) = (1, true) }
    if ranks > 1 && !given.contains("threads") { threads = max(1, Parallel.processorCount / ranks) }
  }

  /// Stores what a flag of `attnlab measure` says.
  /// - Throws: `UsageError` with the flag and what is allowed.
  public mutating func set(flag: String, to text: String) throws(UsageError) {
    guard let field = Cell.schema.first(where: { $0.flag == flag }), let parse = field.parse else {
      throw UsageError("--\(flag): there is no such field of a cell")
    }
    let node = PresetNode(.scalar(text, isQuoted: false), place: "--\(flag)")
    let change: Change<Cell>?
    do throws(UsageError) { change = try parse(node, ".") } catch { change = nil }
    guard let change else {
      throw UsageError("--\(flag) \(shown(text)): it takes \(field.flagAllowed)")
    }
    change.apply(&self)
  }

  /// What a flag of `attnlab measure` means, for its help.
  public static func help(_ flag: String) -> String {
    guard let field = schema.first(where: { $0.flag == flag }) else { return "" }
    return field.help.prefix(1).uppercased() + field.help.dropFirst() + "."
  }

  /// YAML's `all` or a number of threads.
  private static let allThreads: Field<Cell>.Parse = { node, _ throws(UsageError) in
    let value = try ColumnKind.threads.read("threads", node)
    return Change(text: value == 0 ? "all" : "\(value)") {
      $0.threads = value == 0 ? Parallel.processorCount : value
    }
  }

  private static let inputs: Field<Cell>.Parse = { node, folder throws(UsageError) in
    // A flag writes `text:PATH`, YAML `{text: PATH}`.
    let isFlag = node.place == "--input"
    let source =
      try isFlag ? node.text.flatMap { InputSource($0) } : InputSource(node, folder: folder)
    guard let source else { throw node.error("input: it takes \(InputSource.allowed)") }
    return Change(text: source.description) { $0.input = source }
  }

  private static let budget: Field<Cell>.Parse = { node, _ throws(UsageError) in
    let seconds = try ColumnKind.seconds.read("budget", node)
    return Change(text: "\(seconds)") { $0.budgetSeconds = seconds }
  }
}

extension Field where Root == Cell {
  /// The name as a flag.
  var flag: String? { key?.replacing("_", with: "-") }

  /// What a flag takes, in words.
  var flagAllowed: String { name == "budget_seconds" ? Quantity.secondsAllowed : allowed }

  /// The variant's settings: an object in JSON, `name=value` separated by `;` in tables.
  fileprivate static let settings = Field(
    name: Cell.settingsColumn, type: "settings", allowed: "settings of the variant", unit: "",
    help: "the settings of the variant that differ from its defaults", role: .contender, key: nil,
    phrase: "%",
    get: { cell in
      .object(
        cell.settings.sorted { $0.key < $1.key }.map {
          JSONValue.Member(key: Spelling.today($0.key), value: JSONValue($0.value))
        })
    },
    text: { Cell.settingsText($0.settings, { $0 }, { $0 }) },
    set: { _, _ in "an object" },
    setJSON: { cell, value in
      guard case .object(let members) = value else { return "an object of settings" }
      for member in members {
        guard let value = ParameterValue(member.value) else { return "an object of settings" }
        cell.settings[member.key] = value
      }
      return nil
    }, parse: nil)
}

extension ColumnKind where Value == InputSource {
  /// `gaussian`, `text` or `text:PATH`.
  static let input = ColumnKind(
    "text", InputSource.allowed,
    read: { InputSource($0).map { .value($0) } ?? .refused(InputSource.allowed) },
    write: { .string($0.description) })
}

extension ParameterValue {
  /// The value that stands in JSON; `nil` for null, objects and lists of other things than whole numbers.
  init?(_ json: JSONValue) {
    switch json {
    case .int(let value): self = .int(value)
    case .double(let value): self = .double(value)
    case .bool(let value): self = .bool(value)
    case .string(let value): self = .string(value)
    case .array(let items):
      let numbers = items.map { item in if case .int(let value) = item { value } else { nil as Int? } }
      guard !numbers.contains(nil) else { return nil }
      self = .list(numbers.compactMap(\.self))
    case .null, .object: return nil
    }
  }
}
