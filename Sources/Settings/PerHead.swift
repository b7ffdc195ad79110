/// A whole number that is the same for all heads, or differs from head to head.
///
/// A list has one number for every head, or one for every group of neighbouring heads that are equally many: two numbers serve the
/// first and the second half of the heads, and as many numbers as there are key heads serve their groups.
public struct PerHead: Hashable, Sendable, ExpressibleByIntegerLiteral {
  /// The numbers in the order of the heads; never empty.
  public let values: [Int]

  /// The same for all heads.
  public init(_ value: Int) { values = [value] }

  /// The same for all heads.
  public init(integerLiteral value: Int) { self.init(value) }

  /// One number a head, or a group of heads; `nil`: none are given.
  public init?(_ values: [Int]) {
    guard !values.isEmpty else { return nil }
    self.values = values
  }

  /// Numbers in the order of the heads.
  public static func list(_ first: Int, _ others: Int...) -> PerHead { PerHead(all: [first] + others) }

  private init(all values: [Int]) { self.values = values }

  /// Whether all heads have one number, given once.
  public var isShared: Bool { values.count == 1 }

  /// The number of a head.
  /// - Parameters:
  ///   - head: which one, from 0.
  ///   - heads: how many there are.
  public func value(head: Int, of heads: Int) -> Int { values[head * values.count / heads] }

  /// Checks that every number serves as many heads.
  /// - Throws: `ConfigurationError` that names the setting.
  public func validate(_ field: String, heads: Int) throws(ConfigurationError) {
    guard heads % values.count == 0 else {
      throw ConfigurationError(
        field: field, value: "\(ParameterValue.list(values)) (\(values.count) numbers)",
        allowed: "one number, or one for each of \(heads) heads, or as many as divide them")
    }
  }

  /// For fewer heads than it has numbers: some of these, the first and the last among them; the largest for one head.
  public func fitted(to heads: Int) -> PerHead {
    guard values.count > heads else { return self }
    if heads < 2 { return PerHead(values.reduce(values[0], max)) }
    return PerHead(all: (0..<heads).map { values[$0 * (values.count - 1) / (heads - 1)] })
  }
}

extension Parameter where Root: ParameterSet {
  /// A whole number in a range, or a list of them, one a head.
  public static func perHead(
    _ name: String, _ path: any WritableKeyPath<Root, PerHead> & Sendable, in range: ClosedRange<Int>,
    unit: String = "", help: String
  ) -> Parameter {
    @Sendable func value(_ numbers: PerHead) -> ParameterValue {
      numbers.isShared ? .int(numbers.values[0]) : .list(numbers.values)
    }
    return Parameter(
      name, unit: unit, help: help,
      allowed: "a whole number from \(range.lowerBound) to \(range.upperBound)" + ParameterWords.perHead,
      defaultValue: value(Root()[keyPath: path]), get: { value($0[keyPath: path]) },
      set: { root, given in
        let numbers: [Int]
        if case .list(let list) = given { numbers = list } else { numbers = given.whole.map { [$0] } ?? [] }
        guard numbers.allSatisfy(range.contains), let heads = PerHead(numbers) else { return false }
        root[keyPath: path] = heads
        return true
      })
  }
}

/// Words of declarations that others read.
public enum ParameterWords {
  /// What follows the words of one number where a list of them will do.
  public static let perHead = ", or a list of them, one a head"
  /// What the words of text with a grammar of its own begin with.
  public static let expression = "an expression of "
}
