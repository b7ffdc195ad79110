import Basics
import Foundation

/// The file of this program.
public enum ProgramFile {
  /// The column `program` of rows that are made here: two builds of one commit may differ. Empty when the file cannot be
  /// read.
  public static let hash = Bundle.main.executablePath.flatMap { Fingerprint.of(file: $0) } ?? ""
}
