import AttentionCore
import Basics

/// Files that a user names by operand or export: `NAME=file.npy`.
struct NamedFiles {
  typealias File = (name: Operand.Name, path: String)

  /// What the variant declares under the settings in force.
  let declared: [Operand]
  /// Operands besides q, k and v.
  let inputs: [File]
  /// Where gradients go, those of q, k and v among them.
  private(set) var gradients: [File] = []
  /// Where exports go.
  private(set) var exports: [File] = []

  /// Reads `--in` alone.
  /// - Throws: `UsageError` that says what the variant takes; `ConfigurationError`.
  init(
    in pairs: [String], of type: any AttentionVariant.Type, _ settings: [String: ParameterValue]
  ) throws {
    declared = try type.operands(settings: settings)
    let own = declared.filter { !$0.isStandard }.map(\.name)
    inputs = try NamedFiles.parse(pairs, "--in", takes: own, "reads", type.card.id)
  }

  /// Reads the flags of `apply`.
  /// - Throws: `UsageError` that says what the variant takes; `ConfigurationError`.
  init(
    _ command: ApplyCommand, of type: any AttentionVariant.Type, _ settings: [String: ParameterValue]
  ) throws {
    try self.init(in: command.inputs, of: type, settings)
    let differentiable = declared.filter { !$0.isStandard && $0.hasGradient }.map(\.name)
    for (name, path) in [
      (Operand.Name.query, command.dq), (.key, command.dk), (.value, command.dv),
    ] {
      if let path { gradients.append((name, path)) }
    }
    let others = try NamedFiles.parse(
      command.gradients, "--gradient", takes: differentiable, "has a gradient of", type.card.id)
    let shown = try NamedFiles.parse(
      command.exports, "--export", takes: type.exports.map(\.name), "shows", type.card.id)
    gradients += others
    exports = shown
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

/// Flags of `apply` and `mask` from before operands had names: `--rotations R.npy` is `--in rotations=R.npy`.
enum FormerFlags {
  /// The same arguments in today's words.
  static func renamed(_ arguments: [String], _ catalog: Catalog) -> [String] {
    guard let command = arguments.first, ["apply", "mask"].contains(command) else { return arguments }
    let names = catalog.types.flatMap { $0.formerNames }
    var result: [String] = []
    var rest = arguments[...]
    var settings: [String] = []
    while let word = rest.popFirst() {
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      guard word.hasPrefix("--"),
        let found = names.first(where: { $0.flag.map { "--" + $0 } == parts[0] }),
        let value = parts.count == 2 ? parts[1] : rest.first
      else {
        result.append(word)
        continue
      }
      if parts.count == 1 { rest.removeFirst() }
      switch found {
      case .operand(_, let name, let implied):
        result += ["--in", "\(name)=\(value)"]
        for (setting, value) in implied.sorted(by: { $0.key < $1.key }) {
          let pair = "\(setting)=\(value)"
          if !settings.contains(pair), !arguments.contains(where: { $0.hasPrefix("\(setting)=") }) {
            settings.append(pair)
          }
        }
      case .export(_, let name): result += ["--export", "\(name)=\(value)"]
      case .modelSetting: result += [word]
      }
    }
    return result + settings.flatMap { ["--set", $0] }
  }
}

extension FormerName {
  /// The flag that it was, without its hyphens.
  var flag: String? {
    switch self {
    case .operand(let flag, _, _), .export(let flag, _): flag
    case .modelSetting: nil
    }
  }
}
