/// Numbers as Slurm's `--array` takes them: `1-3,7`.
public enum TaskList {
  /// The text of some numbers.
  public static func text(_ numbers: [Int]) -> String {
    var runs: [ClosedRange<Int>] = []
    for number in Set(numbers).sorted() {
      if let last = runs.last, last.upperBound + 1 == number {
        runs[runs.count - 1] = last.lowerBound...number
      } else {
        runs.append(number...number)
      }
    }
    return runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ",")
  }

  /// The numbers of a text; `nil` when it is no such list.
  public static func numbers(_ text: String) -> [Int]? {
    var numbers: Set<Int> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first >= 0,
        last >= first, last - first < 1_000_000
      else { return nil }
      numbers.formUnion(first...last)
    }
    return numbers.sorted()
  }
}
