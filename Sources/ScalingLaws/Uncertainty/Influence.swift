/// What leaving out single rows does to the estimates.
public struct Influence: Sendable {
}
