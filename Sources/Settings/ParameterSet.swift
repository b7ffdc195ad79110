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

  /// Values by today's names.
  public static func renamed<Value>(_ settings: [String: Value]) -> [String: Value] {
    guard !formerNames.isEmpty else { return settings }
    return Dictionary(settings.map { (formerNames[$0.key] ?? $0.key, $0.value) }) { _, later in later }
  }

  /// Creates a configuration from named values.
  /// - Throws: `ConfigurationError` for an unknown name (with the nearest valid one), a wrong type or range.
  public init(settings: [String: ParameterValue]) throws(ConfigurationError) {
    self.init()
    for (old, new) in Self.formerNames where settings[old] != nil && settings[new] != nil {
      throw ConfigurationError(
        field: new, value: "given twice, also by its former name \(old)", allowed: "one of both")
    }
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
