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

extension FieldKind where Value == InputSource {
  /// `gaussian`, `text`, or `{text: PATH}`; a path in a preset is relative to the preset's folder.
  static func input(folder: String) -> FieldKind {
    FieldKind("gaussian, or {text: PATH} with a file or folder (or default: the project's own sources)") {
      node throws(UsageError) in
      switch node.content {
      case .scalar("gaussian", _): return .gaussian
      case .scalar("text", _): return .text(path: nil)
      case .mapping(let entries):
        guard let unknown = entries.first(where: { $0.key != "text" }) else {
          guard let path = entries.first?.value.text, !path.isEmpty else { return nil }
          if path == "default" { return .text(path: nil) }
          let isFromFile =
            !node.place.hasPrefix("--set") && entries.first?.value.place.hasPrefix("--set") == false
          return .text(path: path.hasPrefix("/") || !isFromFile || folder == "." ? path : folder + "/" + path)
        }
        throw UsageError("\(unknown.place): unknown field \(unknown.key) of input; known is text")
      default: return nil
      }
    }
  }
}
