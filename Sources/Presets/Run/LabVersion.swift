/// The version that the program prints and `environment.json` keeps.
public enum LabVersion {
  /// The version of the lab.
  public static let current = "0.1.0"

  /// The compiler that built the program, as far as the language lets one ask.
  public static let swift: String = {
    #if compiler(>=6.4)
      "6.4 or newer"
    #elseif compiler(>=6.3)
      "6.3"
    #else
      "6.2"
    #endif
  }()

  /// Whether this is an optimised build; times of others mean little.
  public static let isOptimized: Bool = {
    var isDebug = false
    assert(
      {
        isDebug = true
        return true
      }())
    return !isDebug
  }()
}
