import Basics
import Records

/// Where q, k and v come from.
public enum InputSource: Hashable, Sendable, CustomStringConvertible {
  /// Independent N(0, 1) draws.
  case gaussian
  /// The bytes of a text file or folder; `nil`: the project's own sources.
  case text(path: String?)

  /// As the CSV and `attnlab measure --input` write it: `gaussian`, `text` or `text:PATH`.
  public var description: String {
    switch self {
    case .gaussian: "gaussian"
    case .text(nil): "text"
    case .text(let path?): "text:" + path
    }
  }

  /// What is allowed, in words.
  public static let allowed = "gaussian, text, or text:PATH with a file or folder"

  /// Reads the form of `description`.
  public init?(_ text: String) {
    switch text {
    case "gaussian": self = .gaussian
    case "text", "text:default": self = .text(path: nil)
    default:
      guard text.hasPrefix("text:"), text.count > 5 else { return nil }
      self = .text(path: String(text.dropFirst(5)))
    }
  }
}

extension InputSource {
  /// Reads `gaussian`, `text`, or `{text: PATH}`; a path in a preset is relative to the preset's folder.
  /// - Throws: `UsageError` with place and what is allowed.
  init(_ node: PresetNode, folder: String) throws(UsageError) {
    switch node.content {
    case .scalar("gaussian", _): self = .gaussian
    case .scalar("text", _): self = .text(path: nil)
    case .mapping(let entries):
      if let unknown = entries.first(where: { $0.key != "text" }) {
        throw UsageError("\(unknown.place): unknown field \(unknown.key) of input; known is text")
      }
      guard let entry = entries.first, let path = entry.value.text, !path.isEmpty else {
        throw Self.refusal(node)
      }
      let isFromFile = !node.place.hasPrefix("--set") && !entry.value.place.hasPrefix("--set")
      let isWhole = path.hasPrefix("/") || !isFromFile || folder == "."
      self = .text(path: path == "default" ? nil : isWhole ? path : folder + "/" + path)
    default: throw Self.refusal(node)
    }
  }

  private static func refusal(_ node: PresetNode) -> UsageError {
    node.error(
      "input: \(node.summary) is not allowed; it takes gaussian, or {text: PATH} with a file or folder "
        + "(or default: the project's own sources)")
  }
}
