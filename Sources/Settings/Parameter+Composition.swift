import Basics

extension Parameter {
  /// The same parameter of a set that holds this one.
  /// - Parameters:
  ///   - path: where this set stands in the other.
  ///   - quietly: whether summaries leave it out at its default.
  public func within<Outer: ParameterSet>(
    _ path: any WritableKeyPath<Outer, Root> & Sendable, quietly: Bool = false
  ) -> Parameter<Outer> {
    Parameter<Outer>(
      name, unit: unit, help: help, allowed: allowed, defaultValue: defaultValue,
      isQuiet: quietly || isQuiet, get: { get($0[keyPath: path]) },
      set: { outer, value in set(&outer[keyPath: path], value) }, objection: objection)
  }
}

extension Parameter where Root: ParameterSet {
  /// A real number in a range, or `none`.
  public static func optionalReal(
    _ name: String, _ path: any WritableKeyPath<Root, Double?> & Sendable, in range: ClosedRange<Double>,
    unit: String = "", help: String
  ) -> Parameter {
    @Sendable func value(_ number: Double?) -> ParameterValue {
      number.map { .double($0) } ?? .string("none")
    }
    return Parameter(
      name, unit: unit, help: help,
      allowed: "none or a number from \(shortNumber(range.lowerBound)) to \(shortNumber(range.upperBound))",
      defaultValue: value(Root()[keyPath: path]),
      get: { root in value(root[keyPath: path]) },
      set: { root, value in
        let number: Double?
        switch value {
        case .string("none"): number = nil
        case .double(let given): number = given
        case .int(let given): number = Double(given)
        default: return false
        }
        guard number.map(range.contains) ?? true else { return false }
        root[keyPath: path] = number
        return true
      })
  }
}
