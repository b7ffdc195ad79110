/// The parameters of a variant.
///
/// A configuration is a plain struct of values with defaults; `parameters` declares each once.
public protocol VariantConfiguration: Hashable, Sendable {
  /// The defaults.
  init()
  /// All parameters, in the order in which they are shown.
  static var parameters: [Parameter<Self>] { get }
  /// Settings that the conformance check tries besides the defaults: small enough to matter at a few hundred tokens.
  static var samples: [Self] { get }
  /// Checks what depends on several parameters or on the shape.
  /// - Throws: `ConfigurationError`.
  func validate(for shape: AttentionShape) throws(ConfigurationError)
}

extension VariantConfiguration {
  /// The defaults alone.
  public static var samples: [Self] { [Self()] }

  /// Nothing to check.
  public func validate(for shape: AttentionShape) throws(ConfigurationError) {}

  /// Creates a configuration from named values.
  /// - Throws: `ConfigurationError` for an unknown name (with the nearest valid one), a wrong type or range.
  public init(settings: [String: ParameterValue]) throws(ConfigurationError) {
    self.init()
    for (name, value) in settings.sorted(by: { $0.key < $1.key }) {
      guard let parameter = Self.parameters.first(where: { $0.name == name }) else {
        let names = Self.parameters.map(\.name)
        let hint = names.isEmpty ? "no parameters" : names.joined(separator: ", ")
        let nearest = nearestName(to: name, among: names).map { " (did you mean \($0)?)" } ?? ""
        throw ConfigurationError(field: name, value: "an unknown parameter", allowed: hint + nearest)
      }
      try parameter.assign(value, to: &self)
    }
  }

  /// The values by name.
  public var settings: [String: ParameterValue] {
    Dictionary(uniqueKeysWithValues: Self.parameters.map { ($0.name, $0.get(self)) })
  }

  /// `name=value` of all parameters in declaration order, separated by `;`: the CSV's `configuration`.
  public var summary: String {
    Self.parameters.map { "\($0.name)=\($0.get(self))" }.joined(separator: ";")
  }
}

/// The name with the smallest edit distance, when it is close enough to be a slip of the pen.
public func nearestName(to text: String, among names: [String]) -> String? {
  let best = names.map { ($0, editDistance(text.lowercased(), $0.lowercased())) }.min { $0.1 < $1.1 }
  guard let best, best.1 <= max(2, text.count / 2) else { return nil }
  return best.0
}

private func editDistance(_ first: String, _ second: String) -> Int {
  let a = Array(first), b = Array(second)
  var row = Array(0...b.count)
  for i in a.indices {
    var diagonal = row[0]
    row[0] = i + 1
    for j in b.indices {
      let above = row[j + 1]
      row[j + 1] = min(above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0 : 1))
      diagonal = above
    }
  }
  return row[b.count]
}
