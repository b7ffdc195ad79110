import Basics

/// What a field says of a row. The first four are the row's identity: rows that agree in them measure the same.
public enum FieldRole: String, Sendable {
  /// Rows that differ in it are not compared: the pass, the shape, the threads, the machine.
  case shape
  /// The axis that series of rows run along.
  case length
  /// Tells rows apart that are compared with each other: the variant, its settings, the seed.
  case contender
  /// Where a row was made. It tells rows apart that agree in all else and yet differ.
  case origin
  /// What was measured, counted or computed.
  case quantity
  /// A quantity that is a time, or a rate made of one: it belongs to the machine, and those of two machines never mix.
  case time
  /// How the measurement went.
  case record

  /// Whether it belongs to the identity of a row.
  public var isIdentity: Bool { ![.quantity, .time, .record].contains(self) }
}

/// Whether a row has a value in a field. A table that lacks the column as a whole is read; only fields that the first
/// tables had may be needed, so that a column which an older table gets can be empty in its rows.
public enum FieldNeed: String, Sendable {
  /// Always.
  case always
  /// When the row is done.
  case whenDone
  /// An empty cell says that there is none.
  case never
}

/// A field of a cell or a row, declared once: the column of the CSV, the key of JSON and YAML, the flag, `attnlab list
/// columns`, labels and the identity of rows derive from the declaration.
public struct Field<Root: Sendable>: Sendable {
  /// The column and the key in JSON.
  public let name: String
  /// The type in words.
  public let type: String
  /// What is allowed, in words.
  public let allowed: String
  /// The unit; empty for none.
  public let unit: String
  /// The meaning, in one line.
  public let help: String
  /// What it says of a row.
  public let role: FieldRole
  /// Whether a row has a value in it.
  public private(set) var need = FieldNeed.never
  /// The name that the column had in earlier versions; tables that have it are read.
  public private(set) var formerName: String?
  /// How presets name it, and `--set`; `nil`: presets cannot set it. The flag of `attnlab measure` is the same in
  /// kebab-case.
  package let key: String?
  /// Its words in labels and titles; `%` stands for the value.
  package let phrase: String
  /// The value.
  package let get: @Sendable (Root) -> JSONValue
  /// The value as a CSV writes it; empty when there is none.
  package let text: @Sendable (Root) -> String
  /// Stores a text that is not empty.
  /// - Returns: what is allowed, when the text is not; else `nil`.
  package let set: @Sendable (inout Root, String) -> String?
  /// Stores a value of JSON; the same.
  package let setJSON: @Sendable (inout Root, JSONValue) -> String?
  /// Reads a value of YAML.
  package let parse: Parse?

  package init(
    name: String, type: String, allowed: String, unit: String, help: String, role: FieldRole, key: String?,
    phrase: String, get: @escaping @Sendable (Root) -> JSONValue, text: @escaping @Sendable (Root) -> String,
    set: @escaping @Sendable (inout Root, String) -> String?,
    setJSON: @escaping @Sendable (inout Root, JSONValue) -> String?, parse: Parse?
  ) {
    (self.name, self.type, self.allowed, self.unit, self.help) = (name, type, allowed, unit, help)
    (self.role, self.key, self.phrase, self.get, self.text) = (role, key, phrase, get, text)
    (self.set, self.setJSON, self.parse) = (set, setJSON, parse)
  }

  /// Reads a value of YAML, paths in it relative to a folder.
  package typealias Parse =
    @Sendable (_ node: PresetNode, _ folder: String) throws(UsageError) -> Change<Root>

  /// The same field, which no row lacks.
  package var required: Field { needed(.always) }

  /// The same field, which no row lacks that is done.
  package var requiredWhenDone: Field { needed(.whenDone) }

  /// The same field, which had another name in earlier versions.
  package func formerly(_ name: String) -> Field {
    var field = self
    field.formerName = name
    return field
  }

  private func needed(_ need: FieldNeed) -> Field {
    var field = self
    field.need = need
    return field
  }

  /// The words of a row in labels; empty when there is no value.
  package func words(_ root: Root) -> String {
    let value = text(root)
    if value.isEmpty || value == "false" { return "" }
    let words = phrase.replacing("%", with: value)
    // One thread, two threads.
    return value == "1" && phrase.hasPrefix("% ") && phrase.hasSuffix("s") ? String(words.dropLast()) : words
  }

  /// The field as JSON.
  public var json: JSONValue {
    .object([
      "name": .string(name), "type": .string(type), "unit": .string(unit), "allowed": .string(allowed),
      "identity": .bool(role.isIdentity), "required": .string(need.rawValue), "meaning": .string(help),
    ])
  }
}

/// One value of a field, to be stored.
package struct Change<Root: Sendable>: Sendable {
  /// The value as it was written, by which values given twice are found.
  package let text: String
  package let apply: @Sendable (inout Root) -> Void

  package init(text: String, apply: @escaping @Sendable (inout Root) -> Void) {
    (self.text, self.apply) = (text, apply)
  }
}

extension Field {
  /// A field that every row has; a column that a file lacks leaves the default.
  package static func field<Value>(
    _ name: String, _ path: any WritableKeyPath<Root, Value> & Sendable, _ kind: ColumnKind<Value>,
    _ role: FieldRole, unit: String = "", key: String? = nil, phrase: String? = nil, parse: Parse? = nil,
    _ help: String
  ) -> Field {
    Field(
      name: name, kind: kind, role: role, unit: unit, key: key, phrase: phrase, help: help,
      get: { kind.write($0[keyPath: path]) }, text: { kind.write($0[keyPath: path]).field },
      parse: parse ?? Self.parser(key, kind, path), store: { $0[keyPath: path] = $1 })
  }

  /// A field that may be absent.
  package static func optional<Value>(
    _ name: String, _ path: any WritableKeyPath<Root, Value?> & Sendable, _ kind: ColumnKind<Value>,
    _ role: FieldRole, unit: String = "", phrase: String? = nil, _ help: String
  ) -> Field {
    Field(
      name: name, kind: kind, role: role, unit: unit, key: nil, phrase: phrase, help: help,
      get: { $0[keyPath: path].map(kind.write) ?? .null },
      text: { $0[keyPath: path].map { kind.write($0).field } ?? "" }, parse: nil,
      store: { $0[keyPath: path] = $1 })
  }

  private init<Value>(
    name: String, kind: ColumnKind<Value>, role: FieldRole, unit: String, key: String?, phrase: String?,
    help: String, get: @escaping @Sendable (Root) -> JSONValue,
    text: @escaping @Sendable (Root) -> String, parse: Parse?,
    store: @escaping @Sendable (inout Root, Value) -> Void
  ) {
    let set: @Sendable (inout Root, String) -> String? = { root, text in
      switch kind.read(text) {
      case .value(let value):
        store(&root, value)
        return nil
      case .refused(let allowed): return allowed
      }
    }
    self.init(
      name: name, type: kind.type, allowed: kind.allowed, unit: unit, help: help, role: role, key: key,
      phrase: phrase ?? "\(name.replacing("_", with: " ")) %", get: get, text: text, set: set,
      setJSON: { root, value in
        switch value {
        case .array, .object: kind.allowed
        default: set(&root, value.field)
        }
      }, parse: parse)
  }

  /// YAML's reading of a kind: a plain scalar.
  private static func parser<Value>(
    _ key: String?, _ kind: ColumnKind<Value>, _ path: any WritableKeyPath<Root, Value> & Sendable
  ) -> Parse? {
    guard let key else { return nil }
    return { node, _ throws(UsageError) in
      let value = try kind.read(key, node)
      return Change(text: kind.write(value).field) { $0[keyPath: path] = value }
    }
  }
}

extension JSONValue {
  /// The value as a CSV writes it: nothing for null and for what is no number.
  package var field: String {
    switch self {
    case .null, .array, .object: ""
    case .bool(let flag): flag ? "true" : "false"
    case .int(let number): "\(number)"
    case .double(let number): number.isFinite ? compact : ""
    case .string(let text): text
    }
  }
}
