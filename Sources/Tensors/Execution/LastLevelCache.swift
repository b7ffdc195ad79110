#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The processor's largest cache: what is read again and again is read from memory only if it is larger.
public enum LastLevelCache {
  /// Taken where the system does not say.
  public static let assumedBytes = 32 << 20

  /// Its bytes, from Linux's sysfs at run time; `assumedBytes` where that is missing.
  public static let bytes: Int = bytes(in: "/sys/devices/system/cpu/cpu0/cache") ?? assumedBytes

  /// The size of the highest level that a folder of `index0`, `index1`, … describes; `nil`: none.
  static func bytes(in folder: String) -> Int? {
    var found: (level: Int, bytes: Int)?
    for index in 0..<16 {
      guard let level = line("\(folder)/index\(index)/level").flatMap({ Int($0) }),
        let bytes = line("\(folder)/index\(index)/size").flatMap(bytes(parsing:)), bytes > 0
      else { continue }
      if level >= found?.level ?? 0 { found = (level, bytes) }
    }
    return found?.bytes
  }

  /// `32768K`, `260M`, `1G` or plain bytes.
  static func bytes(parsing text: String) -> Int? {
    let units: [Character: Int] = ["K": 10, "M": 20, "G": 30]
    let shift = text.last.flatMap { units[$0] } ?? 0
    guard let number = Int(shift > 0 ? String(text.dropLast()) : text), number >= 0, number < 1 << 30 else {
      return nil
    }
    return number << shift
  }

  /// The first line of a small file.
  private static func line(_ path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes[..<count].prefix { $0 != 10 }, as: UTF8.self)
  }
}
