#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The sizes of a processor's caches in bytes; `nil`: the system does not say.
public struct CacheSizes: Hashable, Sendable {
  /// The first level's data.
  public var first: Int?
  /// The second level.
  public var second: Int?
  /// The highest level there is.
  public var last: Int?

  /// Creates sizes.
  public init(first: Int? = nil, second: Int? = nil, last: Int? = nil) {
    (self.first, self.second, self.last) = (first, second, last)
  }

  /// Those of this processor: from Linux's sysfs, or the kernel of macOS.
  public static let here: CacheSizes = {
    #if canImport(Darwin)
      return CacheSizes(
        first: system("hw.l1dcachesize"), second: system("hw.l2cachesize"),
        last: system("hw.l3cachesize") ?? system("hw.l2cachesize"))
    #else
      return CacheSizes(folder: "/sys/devices/system/cpu/cpu0/cache")
    #endif
  }()

  /// Those that a folder of `index0`, `index1`, … describes; caches of instructions alone do not count.
  public init(folder: String) {
    var byLevel: [Int: Int] = [:]
    for index in 0..<16 {
      let own = "\(folder)/index\(index)"
      guard let level = Self.line("\(own)/level").flatMap({ Int($0) }), level >= 1,
        let bytes = Self.line("\(own)/size").flatMap(Self.bytes(parsing:)), bytes > 0,
        Self.line("\(own)/type") != "Instruction"
      else { continue }
      byLevel[level] = max(bytes, byLevel[level] ?? 0)
    }
    self.init(first: byLevel[1], second: byLevel[2], last: byLevel.max { $0.key < $1.key }?.value)
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

  #if canImport(Darwin)
    private static func system(_ name: String) -> Int? {
      var value: Int64 = 0
      var size = MemoryLayout<Int64>.size
      guard sysctlbyname(name, &value, &size, nil, 0) == 0, value > 0 else { return nil }
      return Int(value)
    }
  #endif
}

/// The processor's largest cache: what is read again and again is read from memory only if it is larger.
public enum LastLevelCache {
  /// Taken where the system does not say.
  public static let assumedBytes = 32 << 20

  /// Its bytes at run time; `assumedBytes` where they are unknown.
  public static let bytes: Int = CacheSizes.here.last ?? assumedBytes
}
