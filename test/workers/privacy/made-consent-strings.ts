/** TCF and GPP strings for tests, by the encoders of IAB Europe and IAB Tech Lab. */
import { GppModel, RangeEntry } from '@iabgpp/cmpapi';
import { Segment, SegmentEncoder, TCModel } from '@iabtcf/core';

const MADE = new Date(Date.UTC(2024, 3, 1));

export interface Agreed {
  readonly purposes?: readonly number[];
  readonly interests?: readonly number[];
  readonly features?: readonly number[];
  readonly vendors?: readonly number[];
  readonly interestVendors?: readonly number[];
  readonly disclosed?: readonly number[];
  readonly policy?: number;
}

/** A TC string by IAB Europe's own encoder, which is not the library that reads it here. */
export function tcf({
  purposes = [],
  interests = [],
  features = [],
  vendors = [],
  policy = 5,
  ...more
}: Agreed = {}): string {
  const model = new TCModel();
  model.cmpId = 31;
  model.cmpVersion = 2;
  model.consentScreen = 1;
  model.consentLanguage = 'DE';
  model.vendorListVersion = 126;
  model.policyVersion = policy;
  model.publisherCountryCode = 'DE';
  model.isServiceSpecific = true;
  model.created = MADE;
  model.lastUpdated = MADE;
  model.purposeConsents.set([...purposes]);
  model.purposeLegitimateInterests.set([...interests]);
  model.specialFeatureOptins.set([...features]);
  model.vendorConsents.set([...vendors]);
  model.vendorLegitimateInterests.set([...(more.interestVendors ?? [])]);
  model.vendorsDisclosed.set([...(more.disclosed ?? [])]);
  const segments = [Segment.CORE, ...(more.disclosed === undefined ? [] : [Segment.VENDORS_DISCLOSED])];
  // Not `TCString.encode`, which mends what a test wants wrong, by a list of vendors from the net.
  return segments.map((segment) => SegmentEncoder.encode(model, segment)).join('.');
}

export interface AgreedInCanada {
  readonly express?: readonly number[];
  readonly implied?: readonly number[];
  readonly features?: readonly number[];
  readonly expressVendors?: readonly number[];
  readonly impliedVendors?: readonly number[];
  readonly disclosed?: readonly number[];
  /** Purpose, type, vendors. */
  readonly restrictions?: readonly (readonly [number, number, readonly number[]])[];
}

/** A GPP string with Canada's section alone, by IAB Tech Lab's encoder, which is not what reads it here. */
export function canada(agreed: AgreedInCanada = {}): string {
  const flags = (count: number, numbers: readonly number[] = []): boolean[] =>
    Array.from({ length: count }, (_, i) => numbers.includes(i + 1));
  return gpp({
    tcfcav1: {
      SpecialFeatureExpressConsent: flags(12, agreed.features),
      PurposesExpressConsent: flags(24, agreed.express),
      PurposesImpliedConsent: flags(24, agreed.implied),
      VendorExpressConsent: [...(agreed.expressVendors ?? [])],
      VendorImpliedConsent: [...(agreed.impliedVendors ?? [])],
      DisclosedVendors: [...(agreed.disclosed ?? [])],
      PubRestrictions: (agreed.restrictions ?? []).map(
        ([purpose, type, vendors]) => new RangeEntry(purpose, type, [...vendors]),
      ),
      // Last: any other field sets both to now.
      Created: MADE,
      LastUpdated: MADE,
    },
  });
}

/** Notices that were given, without which no opt-out that did not happen counts. */
export const NOTIFIED = { SaleOptOutNotice: 1, SharingOptOutNotice: 1, TargetedAdvertisingOptOutNotice: 1 };

export function gpp(sections: Readonly<Record<string, Readonly<Record<string, unknown>>>>): string {
  const model = new GppModel();
  for (const [section, fields] of Object.entries(sections))
    for (const [field, value] of Object.entries(fields)) model.setFieldValue(section, field, value);
  return model.encode();
}
