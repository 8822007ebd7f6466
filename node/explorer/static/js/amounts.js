// Money: decimal strings of base units, shown by an asset's scale. Only BigInt counts here; a float never touches an amount.

const DIGITS = /^(?:0|[1-9][0-9]*)$/;
const DECIMAL = /^([0-9]+)(?:\.([0-9]+))?$/;
export const SCALE_MAX = 128;
const DIGITS_MAX = 193; // of 2^640

/** Base units as BigInt; a leading minus is allowed. Throws for what is no decimal string of base units. */
export function parseUnits(text) {
  const bare = String(text).replace(/^-/, "");
  if (!DIGITS.test(bare)) throw new Error("an amount is a decimal string of base units");
  return BigInt(text);
}

/** "1234567" at scale 2 is "12,345.67": every digit, thousands set off, zeros at the end of the fraction dropped. */
export function formatUnits(text, scale, { group = true } = {}) {
  const units = parseUnits(text);
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, "0");
  const whole = digits.slice(0, digits.length - scale);
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, "");
  const shown = group ? whole.replace(/\B(?=(?:[0-9]{3})+$)/g, ",") : whole;
  return (units < 0n ? "-" : "") + shown + (fraction ? "." + fraction : "");
}

/** Base units of what a person typed: "12,345.67" at scale 2 is "1234567". Throws when it has more decimals than the asset. */
export function toUnits(text, scale) {
  const match = DECIMAL.exec(text.trim().replaceAll(",", ""));
  if (!match) throw new Error("an amount is digits with at most one point");
  const [, whole, fraction = ""] = match;
  if (fraction.replace(/0+$/, "").length > scale) throw new Error(`this asset has ${scale} decimals`);
  const units = BigInt(whole + fraction.replace(/0+$/, "").padEnd(scale, "0"));
  if (units.toString().length > DIGITS_MAX) throw new Error("no asset has that much");
  return units.toString();
}

/** n/d as a decimal string with at most `places` decimals, rounded down, zeros at the end dropped. */
export function divide(n, d, places) {
  if (d === 0n) throw new Error("division by zero");
  const negative = n < 0n !== d < 0n && n !== 0n;
  const [top, bottom] = [n < 0n ? -n : n, d < 0n ? -d : d];
  const text = formatUnits(((top * 10n ** BigInt(places)) / bottom).toString(), places);
  return negative && text !== "0" ? "-" + text : text;
}

/** The price of one whole unit of a in whole units of b, to `digits` significant digits; "" while there is none. */
export function priceText(reserveA, scaleA, reserveB, scaleB, digits = 12) {
  const [a, b] = [parseUnits(reserveA), parseUnits(reserveB)];
  if (!a || !b) return "";
  const [n, d] = [b * 10n ** BigInt(scaleA), a * 10n ** BigInt(scaleB)];
  const magnitude = n.toString().length - d.toString().length;
  return divide(n, d, Math.min(200, Math.max(0, digits - magnitude)));
}

/** For the pixels of a chart and nothing else: about n/d as a float. */
export function toPixelNumber(n, d = 1n) {
  if (d === 0n) return 0;
  const shift = 10n ** 15n;
  const scaled = (n * shift) / d;
  return Number(scaled) / 1e15;
}

/** Parts per million as percent: 12345 is "1.2345 %". */
export function percentOfPpm(ppm) {
  return formatUnits(String(ppm), 4) + " %";
}

/** part of whole as percent with two decimals, rounded down. */
export function percentOf(part, whole) {
  const [p, w] = [parseUnits(part), parseUnits(whole)];
  return w === 0n ? "0 %" : formatUnits(((p * 10_000n) / w).toString(), 2) + " %";
}
