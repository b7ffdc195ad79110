/// The version that the program prints and `environment.json` keeps.
public enum LabVersion {
  /// The version of the lab.
  public static let current = "0.1.0"
}
