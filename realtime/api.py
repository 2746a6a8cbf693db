"""REST for notifications: the list by category with the unread count, marking one or all as read."""

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from realtime.delivery import notifications
from realtime.models import Notification
from stepper.api.base import ApiRequest, InstantField, NewestFirst, read


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    created_at = InstantField(read_only=True)
    read_at = InstantField(read_only=True)

    class Meta:
        model = Notification
        fields = ("id", "title", "message", "priority", "category", "action_url", "created_at", "read_at")


class CategorySerializer(serializers.Serializer[None]):
    category = serializers.ChoiceField(choices=Notification.Category.choices, required=False)


class NotificationsView(APIView):
    def get(self, request: ApiRequest) -> Response:
        """List the user's notifications, newest first, of one category or all; with how many are unread of each."""
        category = request.query_params.get("category", "")
        pages = NewestFirst()
        is_known = notifications.is_choice(category)
        pages.refuse(request, {} if is_known else {"category": [_("There is no such category.")]})
        page = pages.paginate_queryset(notifications.list_for(request.user.pk, category), request, self)
        answer = pages.get_paginated_response(NotificationSerializer(page, many=True).data)
        by_category = notifications.unread_by_category(request.user.pk)
        answer.data |= {"unread": sum(by_category.values()), "unread_by_category": by_category}
        return answer


class NotificationReadView(APIView):
    def post(self, request: ApiRequest, notification_id: int) -> Response:
        """Mark one as read; repeating it changes nothing."""
        row = notifications.mark_read(request.user.pk, notification_id)
        return Response(NotificationSerializer(row).data)


class NotificationsReadView(APIView):
    def post(self, request: ApiRequest) -> Response:
        """Mark all as read, or all of a category."""
        changed = notifications.mark_all_read(request.user.pk, read(request, CategorySerializer).get("category", ""))
        return Response({"read": changed, "unread": notifications.unread_count(request.user.pk)})
