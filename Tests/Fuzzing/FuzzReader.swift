import Basics
import Mutation

/// Something that a broken input did which none may do.
public struct FuzzFailure: Error, CustomStringConvertible {
  /// What it did.
  public let description: String

  init(_ description: String) { self.description = description }
}

/// A reader or a writer under fuzz: whole inputs, and what must hold of any mutation of them.
///
/// A reader reads, or refuses in one line; a writer writes text that means what it was given. Input `k` of a seed is the same
/// whatever came before it, so that a run goes on where it ended and a failure is made again alone.
public struct FuzzReader: Sendable {
  /// The name on the command line.
  public let name: String
  private let whole: [[UInt8]]
  private let check: @Sendable ([UInt8]) throws -> Void

  init(_ name: String, _ whole: [[UInt8]], _ check: @escaping @Sendable ([UInt8]) throws -> Void) {
    (self.name, self.whole, self.check) = (name, whole, check)
  }

  init(text name: String, _ whole: [String], _ check: @escaping @Sendable (String) throws -> Void) {
    self.init(name, whole.map { Array($0.utf8) }) { try check(String(decoding: $0, as: UTF8.self)) }
  }

  /// The input of a number: a whole one with some changes, and sometimes a piece of another.
  public func input(seed: UInt64, _ number: Int) -> [UInt8] {
    let key = RandomKey(seed: seed)(name)(number)
    var generator = key("choice").generator()
    var mutator = Mutator(key: key)
    var bytes = whole[generator.integer(below: whole.count)]
    if generator.integer(below: 8) == 0 {
      let other = whole[generator.integer(below: whole.count)]
      let cut = generator.integer(below: bytes.count + 1)
      bytes = Array(bytes[..<cut] + other[min(other.count, cut)...])
    }
    for _ in 0...generator.integer(below: 3) { bytes = mutator.mutate(bytes) }
    return bytes
  }

  /// Reads or writes one input.
  /// - Throws: `FuzzFailure`.
  public func run(_ input: [UInt8]) throws { try check(input) }

  /// All of them.
  public static let all: [FuzzReader] = [
    .npy, .safetensors, .preset, .csv, .formula, .filter, .attention, .expression, .json, .modelConfiguration,
    .html,
    .gnuplot,
  ]

  /// Calls a reader, and makes sure that a refusal is one line of bounded length.
  static func read<Value>(_ body: () throws -> Value) throws -> Value? {
    do { return try body() } catch {
      let text = "\(error)"
      guard !text.isEmpty, !text.contains("\n"), text.utf8.count < 4000 else {
        throw FuzzFailure("refused in other than one line of bounded length: \(shown(text, limit: 300))")
      }
      return nil
    }
  }

  static func expect(_ isSo: Bool, _ what: @autoclosure () -> String) throws {
    if !isSo { throw FuzzFailure(what()) }
  }
}
