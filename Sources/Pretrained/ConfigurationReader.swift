import ArrayFiles
import Basics
import Layers
import Models
import Settings

/// Typed access to the entries of a `config.json`; what is null counts as absent. It knows which entries were asked for, so that what
/// nobody reads can be refused.
final class ConfigurationReader {
  typealias Failure = SafetensorsError

  /// All entries.
  let root: JSONValue
  let path: String
  /// The family that is read, for error texts.
  let family: String
  /// Entries that were asked for.
  private(set) var used: Set<String> = []

  init(entries: JSONValue, path: String, family: String) {
    (root, self.path, self.family) = (entries, path, family)
  }

  /// An entry, which counts as used.
  subscript(name: String) -> JSONValue {
    used.insert(name)
    return root[name]
  }

  func failure(_ problem: String) -> SafetensorsError { SafetensorsError(path: path, problem: problem) }

  /// An entry whose value is not what the models here can do.
  func refused(_ name: String, _ value: JSONValue, _ allowed: String) -> SafetensorsError {
    failure("\(name) \(shown(value.stringValue ?? value.compact)) is not supported; it takes \(allowed)")
  }

  func fail(_ name: String, _ value: JSONValue, _ allowed: String) -> SafetensorsError {
    failure("\(name) \(value == .null ? "is missing" : shown(value.compact)); \(allowed) expected")
  }

  /// A whole number in the range of a parameter of our models.
  func integer(_ name: String, as parameter: String, default fallback: Int? = nil) throws(SafetensorsError)
    -> Int
  {
    let value = self[name]
    if value == .null, let fallback { return fallback }
    let today = ModelConfiguration.renamed([parameter: 0]).keys.first
    guard let declared = ModelConfiguration.parameters.first(where: { $0.name == today }) else {
      preconditionFailure("no parameter \(parameter)")
    }
    var scratch = ModelConfiguration()
    guard let number = value.wholeValue, (try? declared.assign(.int(number), to: &scratch)) != nil,
      number > 0 || parameter == "token_types"
    else { throw fail(name, value, declared.allowed) }
    return number
  }

  func integer(
    _ name: String, in range: ClosedRange<Int>, default fallback: Int? = nil
  ) throws(SafetensorsError) -> Int {
    let value = self[name]
    if value == .null, let fallback, range.contains(fallback) { return fallback }
    guard let number = value.wholeValue, range.contains(number) else {
      throw fail(name, value, "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// A number above 0 and below 1, such as an ε.
  func real(_ name: String, default fallback: Double) throws(SafetensorsError) -> Double {
    let value = self[name]
    if value == .null { return fallback }
    guard let number = value.numberValue, number > 0, number < 1 else {
      throw fail(name, value, "a number between 0 and 1")
    }
    return number
  }

  /// A number of a range; `nil`: the entry is absent.
  func number(_ name: String, in range: ClosedRange<Double>) throws(SafetensorsError) -> Double? {
    let value = self[name]
    if value == .null { return nil }
    guard let number = value.numberValue, range.contains(number) else {
      throw fail(
        name, value, "a number from \(shortNumber(range.lowerBound)) to \(shortNumber(range.upperBound))")
    }
    return number
  }

  func flag(_ name: String, default fallback: Bool) throws(SafetensorsError) -> Bool {
    let value = self[name]
    if value == .null { return fallback }
    guard case .bool(let flag) = value else { throw fail(name, value, "true or false") }
    return flag
  }

  func refuse(_ names: String...) throws(SafetensorsError) {
    for name in names where try flag(name, default: false) {
      throw failure("\(name) true is not supported; it takes false")
    }
  }

  func activation(
    _ name: String, default fallback: String
  ) throws(SafetensorsError) -> LayerConfiguration.FeedForwardKind {
    let value = self[name]
    let text = value == .null ? fallback : value.stringValue ?? value.compact
    switch text {
    case "gelu": return .gelu
    case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": return .geluTanh
    case "relu": return .relu
    default: throw refused(name, value, "gelu, gelu_new, gelu_fast or relu")
    }
  }

  /// The activation of a gated unit.
  func gatedActivation(
    _ name: String, default fallback: String
  ) throws(SafetensorsError) -> LayerConfiguration.FeedForwardKind {
    let value = self[name]
    let text = value == .null ? fallback : value.stringValue ?? value.compact
    switch text {
    case "silu", "swish": return .swiglu
    case "gelu": return .geglu
    case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": return .gegluTanh
    default: throw refused(name, value, "silu, gelu or gelu_pytorch_tanh")
    }
  }
}
