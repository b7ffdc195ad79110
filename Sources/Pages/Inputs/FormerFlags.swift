import AttentionCore

/// Flags of `apply` and `mask` from before operands had names: `--rotations R.npy` is `--in rotations=R.npy`.
package enum FormerFlags {
  /// The same arguments in today's words.
  package static func renamed(_ arguments: [String], _ catalog: Catalog) -> [String] {
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
