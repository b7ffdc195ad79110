import AttentionCore
import Basics
import Settings

/// Files that a user names by operand or export: `NAME=file.npy`.
package struct NamedFiles {
  package typealias File = (name: Operand.Name, path: String)

  /// What the variant declares under the settings in force.
  package let declared: [Operand]
  /// Operands besides q, k and v.
  package let inputs: [File]
  /// Where gradients go, those of q, k and v among them.
  package private(set) var gradients: [File] = []
  /// Where exports go.
  package private(set) var exports: [File] = []

  /// Reads `--in` alone.
  /// - Throws: `UsageError` that says what the variant takes; `ConfigurationError`.
  package init(
    in pairs: [String], of type: any AttentionVariant.Type, _ settings: [String: ParameterValue]
  ) throws {
    declared = try type.operands(settings: settings)
    let own = declared.filter { !$0.isStandard }.map(\.name)
    inputs = try NamedFiles.parse(pairs, "--in", takes: own, "reads", type.card.id)
  }

  /// Reads `--in`, `--gradient` and `--export`.
  /// - Parameters:
  ///   - standard: where the gradients of q, k and v go.
  /// - Throws: `UsageError` that says what the variant takes; `ConfigurationError`.
  package init(
    in pairs: [String], gradients: [String], standard: [File], exports: [String],
    of type: any AttentionVariant.Type, _ settings: [String: ParameterValue]
  ) throws {
    try self.init(in: pairs, of: type, settings)
    let differentiable = declared.filter { !$0.isStandard && $0.hasGradient }.map(\.name)
    self.gradients =
      standard
      + (try NamedFiles.parse(
        gradients, "--gradient", takes: differentiable, "has a gradient of", type.card.id))
    self.exports = try NamedFiles.parse(
      exports, "--export", takes: type.exports.map(\.name), "shows", type.card.id)
  }

  private static func parse(
    _ pairs: [String], _ flag: String, takes names: [Operand.Name], _ verb: String, _ variant: String
  ) throws(UsageError) -> [File] {
    var files: [File] = []
    for pair in pairs {
      guard let equals = pair.firstIndex(of: "="), equals != pair.startIndex,
        pair.index(after: equals) != pair.endIndex
      else { throw UsageError("\(flag) \(shown(pair)): write it as NAME=file.npy") }
      let name = Operand.Name(String(pair[..<equals]).trimmed)
      let texts = names.map(\.description)
      guard names.contains(name) else {
        throw UsageError(
          "\(flag) \(shown("\(name)")): \(variant) \(verb) nothing of that name here; it takes "
            + (texts.isEmpty ? "none" : choices(texts, near: name.description)))
      }
      guard !files.contains(where: { $0.name == name }) else {
        throw UsageError("\(flag) \(shown("\(name)")): given twice")
      }
      files.append((name, String(pair[pair.index(after: equals)...])))
    }
    return files
  }
}
