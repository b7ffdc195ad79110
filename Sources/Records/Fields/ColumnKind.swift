import Basics
import Settings

/// What a field holds: how a table, YAML, a flag or a process border writes such a value, and which values exist.
///
/// Every number is bounded, so that no arithmetic on what a user edited overflows: whole numbers to 2⁵³, which every
/// reader of JSON keeps, others to 10⁶⁰, whose fourth power is a number still. What would not be read is not written.
/// Numbers and truth values are written as everywhere else: `CoreScalar` reads them.
public struct ColumnKind<Value: Sendable>: Sendable {
  /// A text read: the value, or what would have been allowed.
  package enum Reading {
    case value(Value)
    case refused(String)
  }

  /// The type in words: `text`, `whole number`, `number`, `true or false`, `one of a list`.
  public let type: String
  /// What is allowed, in words.
  public let allowed: String
  /// The words that are allowed, where it is one of some words.
  package let words: [String]
  package let read: @Sendable (String) -> Reading
  package let write: @Sendable (Value) -> JSONValue

  /// Whether YAML writes its values plainly: a quoted number is a text.
  var isOfScalars: Bool { ["whole number", "number", "true or false"].contains(type) }

  package init(
    _ type: String, _ allowed: String, words: [String] = [],
    read: @escaping @Sendable (String) -> Reading, write: @escaping @Sendable (Value) -> JSONValue
  ) {
    (self.type, self.allowed, self.words, self.read, self.write) = (type, allowed, words, read, write)
  }

  /// One of some words.
  private init(
    words: [String], find: @escaping @Sendable (String) -> Value?,
    write: @escaping @Sendable (Value) -> JSONValue
  ) {
    self.init(
      "one of a list", "one of " + words.joined(separator: ", "), words: words,
      read: { text in find(text).map { .value($0) } ?? .refused("one of " + choices(words, near: text)) },
      write: write)
  }

  /// The same kind with other words for what is allowed.
  package func described(_ allowed: String) -> ColumnKind {
    ColumnKind(
      type, allowed, words: words,
      read: { [read] text in
        if case .value(let value) = read(text) { .value(value) } else { .refused(allowed) }
      }, write: write)
  }
}

/// The bounds of numbers in tables.
enum ColumnBounds {
  /// The largest whole number: 2⁵³.
  static let whole = 1 << 53
  /// The largest number.
  static let number = 1e60
}

extension ColumnKind where Value == String {
  /// Any text.
  package static let text = ColumnKind("text", "text", read: { .value($0) }, write: { .string($0) })

  /// One of some words, which a program of another version may not know as a type.
  package static func words(_ words: [String]) -> ColumnKind {
    ColumnKind(words: words, find: { words.contains($0) ? $0 : nil }, write: { .string($0) })
  }
}

extension ColumnKind where Value == Int {
  /// A whole number of at least a bound.
  package static func count(from least: Int = 0) -> ColumnKind {
    ColumnKind(
      "whole number", "a whole number of at least \(least)",
      read: { text in
        let scalar = CoreScalar(text)
        guard let value = scalar.whole, value >= least else {
          // What is too large to be held is too large to be allowed.
          let isHuge = scalar.number.map { $0.isFinite && $0 > Double(ColumnBounds.whole) } ?? false
          return .refused(
            isHuge
              ? "a whole number of at most \(ColumnBounds.whole)" : "a whole number of at least \(least)")
        }
        guard value <= ColumnBounds.whole else {
          return .refused("a whole number of at most \(ColumnBounds.whole)")
        }
        return .value(value)
      }, write: { (least...ColumnBounds.whole).contains($0) ? .int($0) : .null })
  }

  /// A whole number in a range.
  package static func integer(_ range: ClosedRange<Int>) -> ColumnKind {
    let allowed =
      range.upperBound == .max
      ? "a whole number of at least \(range.lowerBound)"
      : "a whole number from \(range.lowerBound) to \(range.upperBound)"
    return ColumnKind(
      "whole number", allowed,
      read: { text in
        CoreScalar(text).whole.flatMap { range.contains($0) ? .value($0) : nil } ?? .refused(allowed)
      }, write: { .int($0) })
  }

  /// `all` (0) or a number of threads.
  package static let threads = ColumnKind(
    "whole number", "all or a whole number from 1 to 1024", words: ["all"],
    read: { text in
      if text == "all" { return .value(0) }
      let allowed = "all or a whole number from 1 to 1024"
      return CoreScalar(text).whole.flatMap { (1...1024).contains($0) ? .value($0) : nil }
        ?? .refused(allowed)
    }, write: { $0 == 0 ? .string("all") : .int($0) })

  /// A size in bytes.
  package static let bytes = ColumnKind(
    "text", Quantity.bytesAllowed,
    read: { Quantity.bytes($0).map { .value($0) } ?? .refused(Quantity.bytesAllowed) },
    write: { .int($0) })

  /// Any whole number that fits; seeds of trainings may be negative.
  static let anyInteger = ColumnKind(
    "whole number", "a whole number",
    read: { CoreScalar($0).whole.map { .value($0) } ?? .refused("a whole number") }, write: { .int($0) })
}

extension ColumnKind where Value == UInt64 {
  /// A seed.
  package static let seed = ColumnKind(
    "whole number", "a whole number",
    // Seeds have one bit more than other whole numbers.
    read: { text in
      (UInt64(text) ?? CoreScalar(text).whole.flatMap { UInt64(exactly: $0) }).map { .value($0) }
        ?? .refused("a whole number")
    },
    write: { $0 <= UInt64(Int.max) ? .int(Int($0)) : .string("\($0)") })
}

extension ColumnKind where Value == Double {
  /// What is measured is finite and not negative.
  static let amount = bounded("a number of at least 0", from: 0)
  /// Time passes.
  package static let duration = bounded("a number above 0", from: 1 / ColumnBounds.number)
  /// A number of either sign.
  package static let real = bounded("a finite number", from: -ColumnBounds.number)
  /// A number of either sign and any size: what a fit found, which nothing here computes with.
  package static let finite = ColumnKind(
    "number", "a finite number",
    read: { text in
      CoreScalar(text).number.flatMap { $0.isFinite ? .value($0) : nil } ?? .refused("a finite number")
    },
    write: { .double($0) })
  /// A part of a whole.
  package static let fraction = range("a fraction from 0 to 1", 0...1)
  /// A rate as a fraction of a measured peak, which is too low when other work ran beside its measurement; more than
  /// twice the peak says nothing.
  package static let fractionOfPeak = range("a fraction from 0 to \(Int(mostOfPeak))", 0...mostOfPeak)
  /// Needed pairs for each pair that there is: above 1 only where pairs count several times, as with rounds of hashing.
  static let density = range("a number from 0 to \(Int(mostOccurrences))", 0...mostOccurrences)
  /// How often a pair may count at most.
  static let mostOccurrences = 1024.0
  /// The largest fraction of a measured peak that is kept.
  static let mostOfPeak = 2.0

  /// A time in seconds, with its unit.
  package static let seconds = ColumnKind(
    "text", Quantity.secondsAllowed,
    read: { Quantity.seconds($0).map { .value($0) } ?? .refused(Quantity.secondsAllowed) },
    write: { .double($0) })

  /// A number in a range.
  package static func number(in range: ClosedRange<Double>) -> ColumnKind {
    self.range("a number from \(shortNumber(range.lowerBound)) to \(shortNumber(range.upperBound))", range)
  }

  private static func bounded(_ allowed: String, from least: Double) -> ColumnKind {
    ColumnKind(
      "number", allowed,
      read: { text in
        guard let value = CoreScalar(text).number, value.isFinite, value >= least else {
          return .refused(allowed)
        }
        guard value <= ColumnBounds.number else {
          return .refused("a number of at most \(ColumnBounds.number)")
        }
        return .value(value)
      }, write: { (least...ColumnBounds.number).contains($0) ? .double($0) : .null })
  }

  private static func range(_ allowed: String, _ range: ClosedRange<Double>) -> ColumnKind {
    ColumnKind(
      "number", allowed,
      read: { text in
        CoreScalar(text).number.flatMap { range.contains($0) ? .value($0) : nil } ?? .refused(allowed)
      }, write: { range.contains($0) ? .double($0) : .null })
  }
}

extension ColumnKind where Value == Bool {
  /// true or false.
  package static let flag = ColumnKind(
    "true or false", "true or false",
    read: { text in
      if case .bool(let flag) = CoreScalar(text) { .value(flag) } else { .refused("true or false") }
    }, write: { .bool($0) })
}

extension ColumnKind where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
  /// One of the cases of a string enumeration.
  package static var choice: ColumnKind {
    ColumnKind(
      words: Value.allCases.map(\.rawValue), find: { Value(rawValue: $0) }, write: { .string($0.rawValue) })
  }
}
