import AttentionCore
import Basics
import Foundation
import Records

/// Finds presets by name: in `Experiments/` of the working folder, of the folders above it, of those above the program,
/// and where `make install` puts them beside it, in `share/attnlab`; last among those that the program carries within itself.
public enum PresetFinder {
  /// The file of a preset.
  /// - Parameter name: a path, which has a folder in it or ends in .yaml or .yml, or a name.
  /// - Throws: `UsageError` with the nearest name that exists.
  public static func file(_ name: String) throws(UsageError) -> String {
    if name.contains("/") || name.hasSuffix(".yaml") || name.hasSuffix(".yml") {
      guard FileManager.default.fileExists(atPath: name) || EmbeddedPresets.holds(name) else {
        throw UsageError("\(shown(name, limit: 400)): no such file")
      }
      return name
    }
    let all = files()
    if let found = all.first(where: { self.name(of: $0) == name }) { return found }
    throw UsageError(
      "there is no preset \(shown(name)); it takes one of \(choices(all.map(self.name(of:)), near: name)), or the path "
        + "of a .yaml file")
  }

  /// The files of all presets, by name.
  public static func files() -> [String] {
    var found = Dictionary(
      uniqueKeysWithValues: EmbeddedPresets.names.map { ($0, EmbeddedPresets.file($0)) })
    var isNear: Set<String> = []
    for folder in folders() {
      let entries = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      for entry in entries where entry.hasSuffix(".yaml") || entry.hasSuffix(".yml") {
        let path = folder + "/" + entry
        if isNear.insert(name(of: path)).inserted { found[name(of: path)] = path }
      }
    }
    return found.sorted { $0.key < $1.key }.map(\.value)
  }

  /// The name of the preset in a file.
  public static func name(of file: String) -> String {
    URL(fileURLWithPath: file).deletingPathExtension().lastPathComponent
  }

  /// The title in a preset's file; empty when it has none or cannot be read.
  public static func title(of file: String) -> String { words(of: file, "title") }

  /// What a preset's file has below a name of one line, such as `question`; empty when it has none or cannot be read.
  package static func words(of file: String, _ name: String) -> String {
    guard let text = try? text(of: file),
      let node = try? PresetNode.parse(text, place: { "\(file):\($0)" })
    else { return "" }
    return node[name]?.text ?? ""
  }

  /// The text of a preset's file, embedded ones among them.
  /// - Throws: `InputFile.Failure`.
  package static func text(of file: String) throws(InputFile.Failure) -> String {
    if let text = EmbeddedPresets.text(of: file) { return text }
    return try InputFile.text(file)
  }

  private static func folders() -> [String] {
    let working = FileManager.default.currentDirectoryPath
    var folders: [String] = []
    for start in [working, Bundle.main.executablePath ?? ""] where !start.isEmpty {
      for place in InstalledFiles.folders(above: start) {
        let folder = place.appendingPathComponent("Experiments").path
        if Folder.exists(folder), !folders.contains(folder) { folders.append(folder) }
      }
    }
    // Shown as the user would type it.
    return folders.map { $0.hasPrefix(working + "/") ? String($0.dropFirst(working.count + 1)) : $0 }
  }
}
