import Foundation

/// Where `make install` puts what the program looks for.
public enum InstalledFiles {
  /// The folder, below the prefix that the program's `bin` is in.
  public static let folder = "share/attnlab"

  /// The folders in which what belongs to the program may lie: a place, those above it, and beside each of them where `make install`
  /// puts files.
  /// - Parameter start: a file or a folder; links are followed.
  /// - Returns: the nearest first.
  public static func folders(above start: String) -> [URL] {
    var url = URL(fileURLWithPath: start).standardizedFileURL.resolvingSymlinksInPath()
    var folders: [URL] = []
    while true {
      folders += [url, url.appendingPathComponent(folder)]
      if url.path == "/" || url.path.isEmpty { return folders }
      url.deleteLastPathComponent()
    }
  }
}
