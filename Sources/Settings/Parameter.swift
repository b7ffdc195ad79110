import Basics

/// The value of a parameter, as YAML, `--set` and the CSV carry it.
public enum ParameterValue: Hashable, Sendable, CustomStringConvertible {
  /// A whole number.
  case int(Int)
  /// A real number.
  case double(Double)
  /// true or false.
  case bool(Bool)
  /// A word, such as the case of a choice.
  case string(String)
  /// A list of whole numbers.
  case list([Int])

  /// As a user would type it.
  public var description: String {
    switch self {
    case .int(let value): "\(value)"
    case .double(let value): "\(value)"
    case .bool(let value): "\(value)"
    case .string(let value): value
    case .list(let values): "[" + values.map(String.init).joined(separator: ", ") + "]"
    }
  }
}

extension ParameterValue {
  /// As a user would write it: text that would be a number or a truth value without quotes, in quotes.
  var asWritten: String {
    guard case .string(let text) = self, ParameterValue(parsing: text) != self else { return description }
    return "\"\(text)\""
  }

  /// The whole number that it is: 1000 of `1e3`; else `nil`.
  var whole: Int? {
    switch self {
    case .int(let number): number
    case .double(let number): Int(exactlyWhole: number)
    default: nil
    }
  }
}

/// A parameter, declared once: YAML, `--set`, CSV, `attnlab list`, validation and documentation derive from it.
public struct Parameter<Root: Sendable>: Sendable {
  /// The name that users type, in snake_case.
  public let name: String
  /// What it means, in one line.
  public let help: String
  /// The unit, such as `tokens`; empty for none.
  public let unit: String
  /// What is allowed, in words: `0 or more`, `one of uniform, google`.
  public let allowed: String
  /// The value that a fresh configuration has.
  public let defaultValue: ParameterValue
  /// Whether summaries leave it out at its default: of a setting that came later than files of results, whose rows keep
  /// their names.
  public let isQuiet: Bool
  /// Reads the value.
  public let get: @Sendable (Root) -> ParameterValue
  let set: @Sendable (inout Root, ParameterValue) -> Bool
  /// What is wrong with a value, where more can be said than that it is not allowed.
  let objection: @Sendable (ParameterValue) -> ConfigurationError?

  /// Stores a value.
  /// - Throws: `ConfigurationError` when the type or the range is wrong.
  public func assign(_ value: ParameterValue, to root: inout Root) throws(ConfigurationError) {
    guard set(&root, value) else {
      throw objection(value)
        ?? ConfigurationError(field: name, value: value.asWritten, allowed: allowed)
    }
  }

  /// The same, left out of summaries at its default.
  public var quiet: Parameter {
    Parameter(
      name, unit: unit, help: help, allowed: allowed, defaultValue: defaultValue, isQuiet: true, get: get,
      set: set, objection: objection)
  }

  /// A name that is declared in camelCase is shown in snake_case.
  init(
    _ name: String, unit: String, help: String, allowed: String, defaultValue: ParameterValue,
    isQuiet: Bool = false, get: @escaping @Sendable (Root) -> ParameterValue,
    set: @escaping @Sendable (inout Root, ParameterValue) -> Bool,
    objection: @escaping @Sendable (ParameterValue) -> ConfigurationError? = { _ in nil }
  ) {
    self.name = Spelling.today(name)
    self.unit = unit
    self.help = help
    self.allowed = allowed
    self.defaultValue = defaultValue
    self.isQuiet = isQuiet
    self.get = get
    self.set = set
    self.objection = objection
  }
}

extension Parameter where Root: ParameterSet {
  /// A whole number in a range.
  public static func integer(
    _ name: String, _ path: any WritableKeyPath<Root, Int> & Sendable,
    in range: ClosedRange<Int> = 0...Int.max,
    unit: String = "", help: String
  ) -> Parameter {
    let allowed =
      range.upperBound == .max
      ? "a whole number of at least \(range.lowerBound)"
      : "a whole number from \(range.lowerBound) to \(range.upperBound)"
    return Parameter(
      name, unit: unit, help: help, allowed: allowed, defaultValue: .int(Root()[keyPath: path]),
      get: { .int($0[keyPath: path]) },
      set: { root, value in
        guard let number = value.whole, range.contains(number) else { return false }
        root[keyPath: path] = number
        return true
      })
  }

  /// A whole number in a range, or `none`.
  public static func optionalInteger(
    _ name: String, _ path: any WritableKeyPath<Root, Int?> & Sendable,
    in range: ClosedRange<Int> = 0...Int.max,
    unit: String = "", help: String
  ) -> Parameter {
    func value(_ number: Int?) -> ParameterValue { number.map { .int($0) } ?? .string("none") }
    return Parameter(
      name, unit: unit, help: help, allowed: "none or a whole number of at least \(range.lowerBound)",
      defaultValue: value(Root()[keyPath: path]),
      get: { root in root[keyPath: path].map { .int($0) } ?? .string("none") },
      set: { root, value in
        let number = value.whole
        guard value == .string("none") || number.map(range.contains) == true else { return false }
        root[keyPath: path] = number
        return true
      })
  }

  /// A real number in a range; a whole number is taken as one.
  public static func real(
    _ name: String, _ path: any WritableKeyPath<Root, Double> & Sendable, in range: ClosedRange<Double>,
    unit: String = "", help: String
  ) -> Parameter {
    Parameter(
      name, unit: unit, help: help,
      allowed: "a number from \(shortNumber(range.lowerBound)) to \(shortNumber(range.upperBound))",
      defaultValue: .double(Root()[keyPath: path]), get: { .double($0[keyPath: path]) },
      set: { root, value in
        let number: Double
        switch value {
        case .double(let given): number = given
        case .int(let given): number = Double(given)
        default: return false
        }
        guard range.contains(number) else { return false }
        root[keyPath: path] = number
        return true
      })
  }

  /// true or false.
  public static func flag(
    _ name: String, _ path: any WritableKeyPath<Root, Bool> & Sendable, help: String
  ) -> Parameter {
    Parameter(
      name, unit: "", help: help, allowed: "true or false", defaultValue: .bool(Root()[keyPath: path]),
      get: { .bool($0[keyPath: path]) },
      set: { root, value in
        guard case .bool(let given) = value else { return false }
        root[keyPath: path] = given
        return true
      })
  }

  /// One of the cases of a string enumeration.
  /// - Parameters:
  ///   - name: the key.
  ///   - path: where the value is kept.
  ///   - quietly: whether the summary leaves it out at its default.
  ///   - help: the meaning, in one line.
  public static func choice<Choice: RawRepresentable<String> & CaseIterable & Sendable>(
    _ name: String, _ path: any WritableKeyPath<Root, Choice> & Sendable, quietly: Bool = false, help: String
  ) -> Parameter {
    let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
    return Parameter(
      name, unit: "", help: help, allowed: "one of \(names)",
      defaultValue: .string(Root()[keyPath: path].rawValue), isQuiet: quietly,
      get: { .string($0[keyPath: path].rawValue) },
      set: { root, value in
        guard case .string(let text) = value, let choice = Choice(rawValue: Spelling.today(value: text))
        else {
          return false
        }
        root[keyPath: path] = choice
        return true
      })
  }

  /// A list of whole numbers of at least 0; a single number is a list of one.
  public static func integers(
    _ name: String, _ path: any WritableKeyPath<Root, [Int]> & Sendable, unit: String = "", help: String
  ) -> Parameter {
    Parameter(
      name, unit: unit, help: help, allowed: "a list of whole numbers of at least 0",
      defaultValue: .list(Root()[keyPath: path]), get: { .list($0[keyPath: path]) },
      set: { root, value in
        let numbers: [Int]
        switch value {
        case .list(let given): numbers = given
        default:
          guard let given = value.whole else { return false }
          numbers = [given]
        }
        guard numbers.allSatisfy({ $0 >= 0 }) else { return false }
        root[keyPath: path] = numbers
        return true
      })
  }

  /// Any text, such as a path.
  public static func text(
    _ name: String, _ path: any WritableKeyPath<Root, String> & Sendable, allowed: String = "text",
    help: String
  ) -> Parameter {
    Parameter(
      name, unit: "", help: help, allowed: allowed, defaultValue: .string(Root()[keyPath: path]),
      get: { .string($0[keyPath: path]) },
      set: { root, value in
        // A path may look like a number or a word of YAML: what the user typed counts.
        root[keyPath: path] = "\(value)"
        return true
      })
  }

  /// Text of a grammar of its own.
  /// - Parameters:
  ///   - name: what users type.
  ///   - path: where it is stored.
  ///   - allowed: the grammar in a few words.
  ///   - help: one line.
  ///   - read: the text as it is stored; throws what is wrong with it.
  public static func text(
    _ name: String, _ path: any WritableKeyPath<Root, String> & Sendable, allowed: String, help: String,
    reading read: @escaping @Sendable (String) throws(ConfigurationError) -> String
  ) -> Parameter {
    @Sendable func result(_ value: ParameterValue) -> Result<String, ConfigurationError> {
      do throws(ConfigurationError) { return .success(try read("\(value)")) } catch { return .failure(error) }
    }
    return Parameter(
      name, unit: "", help: help, allowed: allowed, defaultValue: .string(Root()[keyPath: path]),
      get: { .string($0[keyPath: path]) },
      set: { root, value in
        guard case .success(let text) = result(value) else { return false }
        root[keyPath: path] = text
        return true
      },
      objection: { value in
        guard case .failure(let error) = result(value) else { return nil }
        return error
      })
  }
}
