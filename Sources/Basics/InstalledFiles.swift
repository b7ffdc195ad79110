/// Where `make install` puts what the program looks for.
public enum InstalledFiles {
  /// The folder, below the prefix that the program's `bin` is in.
  public static let folder = "share/attnlab"
}
