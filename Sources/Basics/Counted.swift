/// A number with its noun: `1 row`, `2 rows`.
/// - Parameters:
///   - count: how many.
///   - noun: what one of them is called.
///   - plural: what several are called; `nil`: the noun with an s.
/// - Returns: number and noun.
public func counted(_ count: Int, _ noun: String, plural: String? = nil) -> String {
  "\(count) \(count == 1 ? noun : plural ?? noun + "s")"
}
