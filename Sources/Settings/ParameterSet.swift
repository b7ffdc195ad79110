import Basics

/// A plain struct of values with defaults, whose parameters are declared once.
public protocol ParameterSet: Hashable, Sendable {
  /// The defaults.
  init()
  /// All parameters, in the order in which they are shown.
  static var parameters: [Parameter<Self>] { get }
  /// What older files and scripts call parameters: the former name → today's. None when not said.
  static var formerNames: [String: String] { get }
}

extension ParameterSet {
  /// None.
  public static var formerNames: [String: String] { [:] }

  /// Values by today's names, however they are spelt: `sharedQueryKey` and `shared-query-key` are `shared_query_key`, and
  /// `window` is both `left` and `right` of a set that has them.
  /// - Parameter settings: values by the names that were given.
  /// - Returns: the same values; of a name that there is not, by that name.
  public static func renamed<Value>(_ settings: [String: Value]) -> [String: Value] {
    let pairs = settings.sorted { $0.key < $1.key }.flatMap { name, value in
      names(of: name).map { ($0, value) }
    }
    return Dictionary(pairs) { _, later in later }
  }

  private static func names(of name: String) -> [String] {
    let own = parameters.map(\.name)
    if own.contains(name) { return [name] }
    let spelling = plain(name)
    if let former = formerNames.first(where: { plain($0.key) == spelling }) {
      return [Spelling.today(former.value)]
    }
    if let same = own.first(where: { plain($0) == spelling }) { return [same] }
    let sides = ["left", "right"]
    return spelling == "window" && sides.allSatisfy(own.contains) ? sides : [name]
  }

  /// A name without what spellings differ in.
  private static func plain(_ name: String) -> String {
    String(decoding: name.lowercased().utf8.filter { $0 != 0x5F && $0 != 0x2D }, as: UTF8.self)
  }

  /// Refuses a parameter that was given by two names.
  private static func checkTwice(_ given: some Sequence<String>) throws(ConfigurationError) {
    var first: [String: String] = [:]
    for name in given.sorted() {
      for today in names(of: name) {
        guard let other = first.updateValue(name, forKey: today) else { continue }
        let old = [name, other].first { $0 != today } ?? name
        let isFormer = formerNames.keys.contains { plain($0) == plain(old) }
        throw ConfigurationError(
          field: today, value: "given twice, also \(isFormer ? "by its former name" : "as") \(shown(old))",
          allowed: "one of both")
      }
    }
  }

  /// Creates a configuration from named values.
  /// - Throws: `ConfigurationError` for an unknown name (with the nearest valid one), a wrong type or range.
  public init(settings: [String: ParameterValue]) throws(ConfigurationError) {
    self.init()
    try Self.checkTwice(settings.keys)
    for (name, value) in Self.renamed(settings).sorted(by: { $0.key < $1.key }) {
      guard let parameter = Self.parameters.first(where: { $0.name == name }) else {
        let names = Self.parameters.map(\.name)
        throw ConfigurationError(
          field: name, value: "an unknown parameter",
          allowed: names.isEmpty ? "no parameters" : choices(names, near: name))
      }
      try parameter.assign(value, to: &self)
    }
  }

  /// The values by name.
  public var settings: [String: ParameterValue] {
    Dictionary(uniqueKeysWithValues: Self.parameters.map { ($0.name, $0.get(self)) })
  }

  /// `name=value` of all parameters in declaration order, separated by `;`: the CSV's `configuration`. Quiet ones
  /// (`Parameter.isQuiet`) are left out at their defaults.
  public var summary: String {
    Self.parameters.filter { !$0.isQuiet || $0.get(self) != $0.defaultValue }.map {
      "\($0.name)=\($0.get(self))"
    }.joined(separator: ";")
  }
}
